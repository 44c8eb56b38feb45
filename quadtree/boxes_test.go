package quadtree

import (
	"math/rand/v2"
	"testing"

	"nearby/sphere"
)

// The bounds are those of the boxes one by one, whatever this processor does.
func TestBoxesChord2(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	place := func() sphere.Vec { return sphere.FromDegrees(rnd.Float64()*360-180, rnd.Float64()*180-90) }
	for range 3000 {
		b := emptyBoxes()
		for i := range 4 {
			for range rnd.IntN(3) {
				b.extend(i, place())
			}
		}
		v := place()
		var got, portable [4]float64
		b.chord2(&v, &got)
		b.chord2Portable(&v, &portable)
		for i := range 4 {
			box := b.at(i)
			if want := box.Chord2(v); box.Beyond(v, got[i]) != want || got[i] != portable[i] {
				t.Fatalf("child %d: %v, portable %v, want %v", i, got[i], portable[i], want)
			}
		}
	}
}
