package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"nearby/catalog"
	"nearby/collection"
	"nearby/store"
)

// Headers with conditions, as http.Header has them.
const (
	headerMatch      = "If-Match"
	headerNoneMatch  = "If-None-Match"
	headerUnmodified = "If-Unmodified-Since"
	headerModified   = "If-Modified-Since"
)

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
// "". text is the tag of what there is; "": it has none. updated is when that was made, in
// Unix milliseconds; 0: that is not known.
func (c *preconditions) failing(exists bool, text string, updated int64) string {
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
	_, found := d.find(text, weak)
	return d.any || found
}

// find returns a tag as the list has it.
func (d *demand) find(text string, weak bool) (given string, found bool) {
	if text == "" || !weak && strings.HasPrefix(text, "W/") {
		return "", false
	}
	opaque := strings.TrimPrefix(text, "W/")
	for _, t := range d.tags {
		if p := plainTag(t); p == text || weak && strings.TrimPrefix(p, "W/") == opaque {
			return t, true
		}
	}
	return "", false
}

// definitions are the tags of a list as far as they name definitions of a collection.
func (d demand) definitions() demand {
	d.tags = slices.Clone(d.tags)
	for i, text := range d.tags {
		text = plainTag(text)
		d.tags[i] = "-"
		if end := len(text) - 1 - digestBytes - 1; end > 0 && text[end] == '.' && !strings.ContainsFunc(text[end+1:len(text)-1], notHex) {
			d.tags[i] = text[:end] + `"`
		}
	}
	return d
}

// check holds the conditions of a write to the definition that there is; Seq 0: there is
// none.
func (c *preconditions) check(old catalog.Defined) error {
	text := ""
	if old.Version.Seq != 0 {
		text = makeTag(old.Version)
	}
	given := preconditions{c.match.definitions(), c.none.definitions(), c.unmodified, c.modified}
	switch given.failing(text != "", text, old.Updated) {
	case headerMatch:
		return newProblem(preconditionFailed, headerMatch+" names none of the versions that there are")
	case headerUnmodified:
		return newProblem(preconditionFailed, "the definition was changed after the time of "+headerUnmodified)
	case headerNoneMatch:
		return newProblem(preconditionFailed, headerNoneMatch+" names the version that there is")
	}
	return nil
}

// unchanged gives the answer to a GET its tag, "": it has none, and holds the conditions
// to that. It reports whether the request is answered, by 304: the caller has what there
// is. updated is when that was made, in Unix milliseconds; 0: that is not known.
func unchanged(w http.ResponseWriter, r *http.Request, text string, updated int64) (bool, error) {
	setTag(w, text)
	c, err := preconditionsOf(r)
	if err != nil || !c.any() {
		return false, err
	}
	switch c.failing(true, text, updated) {
	case headerMatch:
		return false, newProblem(preconditionFailed, headerMatch+" names another version than the one that is shown")
	case headerUnmodified:
		return false, newProblem(preconditionFailed, "it was changed after the time of "+headerUnmodified)
	case headerNoneMatch:
		if given, found := c.none.find(text, true); found && packing(given) != "" {
			setTag(w, text[:len(text)-1]+packing(given)) // of the answer that the caller has
		}
		fallthrough
	case headerModified:
		w.WriteHeader(http.StatusNotModified)
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
		if v, ok := parseTag(plainTag(text)); ok && v.Epoch == epoch {
			all = append(all, uint64(v.Seq))
		}
	}
	return all
}

// unseen reports whether If-Match names a version that is not from before a position:
// it was read somewhere, perhaps where more is known.
func (d *demand) unseen(at store.CommitID) bool {
	return slices.ContainsFunc(d.tags, func(text string) bool {
		v, ok := parseTag(plainTag(text))
		return ok && (v.Epoch != at.Epoch || v.Seq > at.Seq)
	})
}
