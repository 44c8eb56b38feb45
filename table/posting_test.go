package table

import (
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/index"
)

// A posting has what a set of refs has, in each of its forms and from one to another, and its
// older versions stay as they are.
func TestPostingEqualsSet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	type version struct {
		p    *posting
		refs []uint32
	}
	forms := map[string]int{}
	for range 4 {
		var p *posting
		var versions []version
		in := map[uint32]bool{}
		end := uint32(1)
		for step := range 60 {
			// It grows, in places more than elsewhere, and shrinks to nothing.
			grows := step%30 < 15
			if grows {
				end = min(end*2, 5*chunkRefs-7)
			}
			edit := map[uint32]bool{}
			for range rnd.IntN(8000) {
				ref := rnd.Uint32N(end)
				if rnd.IntN(2) == 0 {
					ref = ref / 16 // some chunks have many
				}
				edit[ref] = grows == (rnd.IntN(10) > 0)
			}
			if step%30 == 29 {
				for ref := range in {
					edit[ref] = false
				}
			}
			var refs []uint32
			for ref, is := range edit {
				refs = append(refs, ref)
				if in[ref] = is; !is {
					delete(in, ref)
				}
			}
			slices.Sort(refs)
			p = p.change(refs, end, func(ref uint32) bool { return edit[ref] })
			var all []uint32
			for ref := range in {
				all = append(all, ref)
			}
			slices.Sort(all)
			versions = append(versions, version{p, all})
		}
		for n, v := range versions {
			if v.p.len() != len(v.refs) || !slices.Equal(v.p.appendTo(nil), v.refs) || !slices.Equal(newPosting(v.refs, end).appendTo(nil), v.refs) {
				t.Fatalf("version %d: %d items, want %d", n, v.p.len(), len(v.refs))
			}
			if v.p == nil {
				continue
			}
			has := func(ref uint32) bool {
				_, found := slices.BinarySearch(v.refs, ref)
				return found
			}
			for range 2000 {
				if ref := rnd.Uint32N(end + 10); v.p.has(ref) != has(ref) {
					t.Fatalf("version %d: has(%d) is %v", n, ref, v.p.has(ref))
				}
			}
			var m matching
			m.reset(chunksOf(end) - rnd.IntN(2)) // of which some may have no item
			matches := func(ref uint32) bool { return int(ref>>chunkBits) < len(m.sets) && m.sets[ref>>chunkBits].has(ref) }
			for range rnd.IntN(3) * 5000 {
				if ref := rnd.Uint32N(end); int(ref>>chunkBits) < len(m.sets) {
					m.add(index.Ref(ref))
				}
			}
			want := 0
			for _, ref := range v.refs {
				if matches(ref) {
					want++
				}
			}
			if n, one := m.of(v.p); n != want || n > 0 && (!has(one) || !matches(one)) {
				t.Fatalf("version %d: %d items are in a set, one of them %d, want %d", n, n, one, want)
			}
			for range 100 {
				if ref := rnd.Uint32N(end + chunkRefs); m.has(ref) != matches(ref) {
					t.Fatalf("version %d: the set has %d: %v", n, ref, m.has(ref))
				}
			}
			for at := range chunksOf(end) + 1 {
				var some, want chunkSet
				for range 3000 {
					ref := uint32(at<<chunkBits) + rnd.Uint32N(chunkRefs)
					if some.add(ref); has(ref) {
						want.add(ref)
					}
				}
				if v.p.narrow(&some, at); some != want {
					t.Fatalf("version %d: chunk %d was narrowed to another set", n, at)
				}
			}
			switch {
			case v.p.chunks == nil:
				forms["few"]++
			case slices.ContainsFunc(v.p.chunks, func(c chunk) bool { return c.set != nil }):
				forms["set"]++
			default:
				forms["low"]++
			}
		}
	}
	if len(forms) != 3 {
		t.Errorf("only these forms were there: %v", forms)
	}
}
