package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

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
	headerModified   = "If-Modified-Since"
	headerTag        = "Etag" // as http.Header has it
)

// maxTagBytes is the length of the longest tag.
const maxTagBytes = 1 + maxEpochBytes + 1 + 13 + 1

func makeTag(v store.Position) string {
	b := append(append(append(make([]byte, 0, maxTagBytes), '"'), v.Epoch...), '.')
	return string(append(strconv.AppendUint(b, uint64(v.Seq), 36), '"'))
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
type preconditions struct {
	match, none demand
	// Dates; zero: not given, or overruled by a list of tags, or none that is valid, which
	// the standard wants passed over.
	unmodified, modified time.Time
}

// any reports whether there are some.
func (c *preconditions) any() bool {
	return c.match.given || c.none.given || !c.unmodified.IsZero() || !c.modified.IsZero()
}

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
	if c.none, err = demandOf(r, headerNoneMatch); err != nil {
		return c, err
	}
	if !c.match.given {
		c.unmodified = dateOf(r, headerUnmodified)
	}
	if !c.none.given && reads(r) {
		c.modified = dateOf(r, headerModified)
	}
	return c, nil
}

// dateOf reads a header that is one date.
func dateOf(r *http.Request, name string) (t time.Time) {
	if values := r.Header[name]; len(values) == 1 {
		t, _ = parseDate(values[0], time.Now())
	}
	return t
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
	list := strings.Join(values, ", ")
	for rest := strings.TrimLeft(list, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		n := tagLen(rest)
		after := strings.TrimLeft(rest[n:], " \t")
		if n == 0 || after != "" && after[0] != ',' {
			d.tags = nil
			break
		}
		d.tags, rest = append(d.tags, rest[:n]), after
	}
	if d.tags == nil {
		return d, badParameter(name, list, "must be one or more entity tags, each in quotes, or *", "send an ETag as it came")
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

// failing returns the condition that does not hold, in the order of RFC 9110 §13.2.2, or
// "". v is the version that there is: none, or one that has no tag yet, if its Seq is 0.
// updated is when it was made, in Unix milliseconds; 0: that is not known.
func (c *preconditions) failing(exists bool, v store.Position, updated int64) string {
	var text string
	if v.Seq != 0 && (c.match.given || c.none.given) {
		text = makeTag(v)
	}
	switch {
	case c.match.given && (!exists || !c.match.names(text, false)):
		return headerMatch
	case !c.unmodified.IsZero() && exists && updated != 0 && !collection.Unmodified(updated, c.unmodified, time.Now()):
		return headerUnmodified
	case c.none.given && exists && c.none.names(text, true):
		return headerNoneMatch
	case !c.modified.IsZero() && exists && updated != 0 && collection.Unmodified(updated, c.modified, time.Now()):
		return headerModified
	}
	return ""
}

// names reports whether a tag is one of the list. To If-None-Match one that is weak is as
// good as a strong one.
func (d *demand) names(text string, weak bool) bool {
	return d.any || text != "" && slices.ContainsFunc(d.tags, func(t string) bool {
		return t == text || weak && strings.TrimPrefix(t, "W/") == text
	})
}

// check holds the conditions of a write to the definition that there is; Seq 0: there is
// none.
func (c *preconditions) check(old collection.Defined) error {
	switch c.failing(old.Version.Seq != 0, old.Version, old.Updated) {
	case headerMatch:
		return newProblem(preconditionFailed, headerMatch+" names none of the versions that there are")
	case headerUnmodified:
		return newProblem(preconditionFailed, "the definition was changed after the time of "+headerUnmodified)
	case headerNoneMatch:
		return newProblem(preconditionFailed, headerNoneMatch+" names the version that there is")
	}
	return nil
}

// unchanged holds the conditions of a GET to the version that it shows. It reports
// whether the answer is 304: the caller has the version.
func unchanged(r *http.Request, v store.Position, updated int64) (bool, error) {
	c, err := preconditionsOf(r)
	if err != nil || !c.any() {
		return false, err
	}
	switch c.failing(true, v, updated) {
	case headerMatch:
		return false, newProblem(preconditionFailed, headerMatch+" names another version than the one that is shown")
	case headerUnmodified:
		return false, newProblem(preconditionFailed, "it was changed after the time of "+headerUnmodified)
	case headerNoneMatch, headerModified:
		return true, nil
	}
	return false, nil
}

// into makes the conditions those of a write, which is held to them in the same order where
// it is made.
func (c *preconditions) into(w *collection.Write, epoch store.Epoch) {
	w.IfExists, w.IfAbsent, w.IfUnmodified = c.match.any, c.none.any, c.unmodified
	if c.match.given && !c.match.any {
		w.IfSeq = seqs(c.match.tags, epoch)
	}
	if c.none.given && !c.none.any {
		tags := make([]string, len(c.none.tags))
		for i, text := range c.none.tags {
			tags[i] = strings.TrimPrefix(text, "W/")
		}
		w.IfNotSeq = seqs(tags, epoch)
	}
}

// seqs are the versions that tags name. Those of another epoch are none of this history.
func seqs(tags []string, epoch store.Epoch) []uint64 {
	all := []uint64{}
	for _, text := range tags {
		if v, ok := parseTag(text); ok && v.Epoch == epoch {
			all = append(all, uint64(v.Seq))
		}
	}
	return all
}

// unseen reports whether If-Match names a version that is not from before a position:
// it was read somewhere, perhaps where more is known.
func (d *demand) unseen(at store.Position) bool {
	return slices.ContainsFunc(d.tags, func(text string) bool {
		v, ok := parseTag(text)
		return ok && (v.Epoch != at.Epoch || v.Seq > at.Seq)
	})
}
