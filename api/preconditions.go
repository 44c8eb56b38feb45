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

// preconditions are the conditions of a request on the current version (RFC 9110 §13.1).
type preconditions struct {
	match, none demand
	// Dates. One is zero if it was not given, or if the standard demands that it is ignored: a
	// list of tags was given too, or it is not a valid date.
	unmodified, modified time.Time
}

// any reports whether there are conditions.
func (c *preconditions) any() bool {
	return c.match.given || c.none.given || !c.unmodified.IsZero() || !c.modified.IsZero()
}

// demand is a list of tags. The zero value demands nothing.
type demand struct {
	given bool
	any   bool     // *
	tags  []string // as they came, weak ones too
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
		return d, badParameter(name, list, "must be one or more entity tags, each in quotes, or *", "send an ETag without changes")
	}
	return d, nil
}

// tagLen returns the length of the entity tag at the beginning of text; 0: there is none. A tag
// may contain commas.
func tagLen(text string) int {
	opaque, quoted := strings.CutPrefix(strings.TrimPrefix(text, "W/"), `"`)
	end := strings.IndexByte(opaque, '"')
	if !quoted || end < 0 {
		return 0
	}
	return len(text) - len(opaque) + end + 1
}

// failing returns the name of the first condition that does not hold, in the order of RFC 9110
// §13.2.2; "": all hold. text is the tag of the current version; "": it has none. updated is the
// time of that version in Unix milliseconds; 0: not known.
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

// names reports whether a tag is in the list. If weak is set, as for If-None-Match, a weak tag and
// a strong one can be equal.
func (d *demand) names(text string, weak bool) bool {
	_, found := d.find(text, weak)
	return d.any || found
}

// find returns the element of the list that is equal to a tag.
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

// definitions returns the list with the tag of a definition in place of the tag of a collection.
// A tag of anything else becomes one that is equal to none.
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

// check returns a problem if a condition does not hold for the current definition. A definition
// whose Seq is 0 does not exist.
func (c *preconditions) check(old catalog.Defined) error {
	text := ""
	if old.Version.Seq != 0 {
		text = makeTag(old.Version)
	}
	given := preconditions{c.match.definitions(), c.none.definitions(), c.unmodified, c.modified}
	switch given.failing(text != "", text, old.Updated) {
	case headerMatch:
		return newProblem(preconditionFailed, headerMatch+" does not name the current version")
	case headerUnmodified:
		return newProblem(preconditionFailed, "the definition was changed after the time of "+headerUnmodified)
	case headerNoneMatch:
		return newProblem(preconditionFailed, headerNoneMatch+" names the current version")
	}
	return nil
}

// unchanged sets the ETag of an answer to a GET ("": there is none) and checks the conditions. It
// reports whether it has answered the request with 304, because the client has the current
// version. updated is the time of that version in Unix milliseconds; 0: not known.
func unchanged(w http.ResponseWriter, r *http.Request, text string, updated int64) (bool, error) {
	setTag(w, text)
	c, err := preconditionsOf(r)
	if err != nil || !c.any() {
		return false, err
	}
	switch c.failing(true, text, updated) {
	case headerMatch:
		return false, newProblem(preconditionFailed, headerMatch+" does not name the version that this answer would show")
	case headerUnmodified:
		return false, newProblem(preconditionFailed, "it was changed after the time of "+headerUnmodified)
	case headerNoneMatch:
		if given, found := c.none.find(text, true); found && packing(given) != "" {
			setTag(w, text[:len(text)-1]+packing(given)) // the tag of the answer that the client has
		}
		fallthrough
	case headerModified:
		w.WriteHeader(http.StatusNotModified)
		return true, nil
	}
	return false, nil
}

// into copies the conditions into a write. The collection checks them in the same order when it
// makes the write.
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

// seqs returns the versions that tags name. It leaves out tags of another epoch: they belong to
// another history.
func seqs(tags []string, epoch store.Epoch) []uint64 {
	all := []uint64{}
	for _, text := range tags {
		if v, ok := parseTag(plainTag(text)); ok && v.Epoch == epoch {
			all = append(all, uint64(v.Seq))
		}
	}
	return all
}

// unseen reports whether the list names a version that this server cannot have seen at a
// position: one that is newer, or of another epoch.
func (d *demand) unseen(at store.CommitID) bool {
	return slices.ContainsFunc(d.tags, func(text string) bool {
		v, ok := parseTag(plainTag(text))
		return ok && (v.Epoch != at.Epoch || v.Seq > at.Seq)
	})
}
