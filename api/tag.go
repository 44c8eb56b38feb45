package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"nearby/collection"
	"nearby/store"
)

// A tag is the strong validator of a version (RFC 9110 §8.8): the epoch and the number
// of the commit that wrote it, in quotes. Numbers are given out again after a restore;
// epochs are not. To callers a tag is opaque, and it is compared as text.

const (
	headerMatch      = "If-Match"
	headerNoneMatch  = "If-None-Match"
	headerUnmodified = "If-Unmodified-Since"
	headerTag        = "Etag" // as http.Header has it
)

// maxTagBytes is the length of the longest tag.
const maxTagBytes = 1 + maxEpochBytes + 1 + 13 + 1

func appendTag(b []byte, v store.Position) []byte {
	b = append(append(append(b, '"'), v.Epoch...), '.')
	return append(strconv.AppendUint(b, uint64(v.Seq), 36), '"')
}

func makeTag(v store.Position) string {
	return string(appendTag(make([]byte, 0, maxTagBytes), v))
}

// tag gives an answer the validator of a version.
func tag(w http.ResponseWriter, v store.Position) { w.Header()[headerTag] = []string{makeTag(v)} }

// parseTag reads what makeTag wrote, letter by letter. false: it is no tag of ours.
func parseTag(text string) (v store.Position, ok bool) {
	if len(text) < 2 || len(text) > maxTagBytes {
		return v, false
	}
	epoch, number, _ := strings.Cut(text[1:len(text)-1], ".")
	seq, err := strconv.ParseUint(number, 36, 64)
	if err != nil || epoch == "" {
		return v, false
	}
	v = store.Position{Epoch: store.Epoch(epoch), Seq: store.Seq(seq)}
	return v, makeTag(v) == text // numbers can be written in several ways
}

// preconditions are what a request demands of the version that there is (RFC 9110 §13.1).
type preconditions struct{ match, none demand }

// demand is a list of tags. The zero value demands nothing.
type demand struct {
	given bool
	any   bool     // *
	tags  []string // as they came, those that are weak included
}

// preconditionsOf reads the headers of a request.
func preconditionsOf(r *http.Request) (c preconditions, err error) {
	if c.match, err = demandOf(r, headerMatch); err != nil {
		return c, err
	}
	if r.Header[headerUnmodified] != nil && !c.match.given && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return c, badParameter(headerUnmodified, r.Header.Get(headerUnmodified), "is not taken: several versions may be of one second", "send the ETag of the version as "+headerMatch)
	}
	c.none, err = demandOf(r, headerNoneMatch)
	return c, err
}

// demandOf reads a header that is a list of tags, or *.
func demandOf(r *http.Request, name string) (d demand, err error) {
	values := r.Header[name]
	if values == nil {
		return d, nil
	}
	d.given = true
	if len(values) == 1 && values[0] == "*" {
		d.any = true
		return d, nil
	}
	for _, rest := range values {
		for rest = strings.TrimLeft(rest, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			n := tagLen(rest)
			after := strings.TrimLeft(rest[n:], " \t")
			if n == 0 || after != "" && after[0] != ',' {
				d.tags = nil
				break
			}
			d.tags, rest = append(d.tags, rest[:n]), after
		}
		if rest != "" {
			d.tags = nil
			break
		}
	}
	if d.tags == nil {
		return d, badParameter(name, strings.Join(values, ", "), "must be one or more entity tags, each in quotes, or *", "send an ETag as it came")
	}
	return d, nil
}

// tagLen is the length of the entity tag that text begins with; 0: it begins with none.
// Commas may stand in a tag.
func tagLen(text string) int {
	opaque, quoted := strings.CutPrefix(strings.TrimPrefix(text, "W/"), `"`)
	end := strings.IndexByte(opaque, '"')
	if !quoted || end < 0 {
		return 0
	}
	return len(text) - len(opaque) + end + 1
}

// check holds the conditions to the version that there is; Seq 0: there is none.
func (c *preconditions) check(v store.Position) error {
	exists := v.Seq != 0
	var text string
	if exists && (c.match.given || c.none.given) {
		text = makeTag(v)
	}
	if c.match.given && (!exists || !c.match.any && !slices.Contains(c.match.tags, text)) {
		return newProblem(preconditionFailed, headerMatch+" names none of the versions that there are")
	}
	if c.none.given && exists && c.none.names(text) {
		return newProblem(preconditionFailed, headerNoneMatch+" names the version that there is")
	}
	return nil
}

// names compares as If-None-Match does: a tag that is weak is as good as a strong one.
func (d *demand) names(text string) bool {
	return d.any || slices.ContainsFunc(d.tags, func(t string) bool { return strings.TrimPrefix(t, "W/") == text })
}

// unchanged reports whether a GET may be answered by 304: the caller has the version.
func unchanged(r *http.Request, v store.Position) (bool, error) {
	if r.Header[headerNoneMatch] == nil {
		return false, nil
	}
	d, err := demandOf(r, headerNoneMatch)
	return err == nil && d.names(makeTag(v)), err
}

// into makes the conditions those of a write, whose version is checked where it is made.
// Versions of another epoch are none of this history.
func (c *preconditions) into(w *collection.Write, epoch store.Epoch) error {
	if c.none.given && !c.none.any {
		return badParameter(headerNoneMatch, strings.Join(c.none.tags, ", "), "must be * for a write", "")
	}
	w.IfExists, w.IfAbsent = c.match.any, c.none.any
	if c.match.given && !c.match.any {
		w.IfSeq = []uint64{}
		for _, text := range c.match.tags {
			if v, ok := parseTag(text); ok && v.Epoch == epoch {
				w.IfSeq = append(w.IfSeq, uint64(v.Seq))
			}
		}
	}
	return nil
}

// unseen reports whether If-Match names a version that is not from before a position:
// it was read somewhere, perhaps where more is known.
func (d *demand) unseen(at store.Position) bool {
	return slices.ContainsFunc(d.tags, func(text string) bool {
		v, ok := parseTag(text)
		return ok && (v.Epoch != at.Epoch || v.Seq > at.Seq)
	})
}
