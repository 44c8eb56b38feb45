package api

import (
	"net/http"
	"strconv"
	"strings"

	"nearby/store"
)

// A tag is the entity tag of an answer (RFC 9110 §8.8). Callers compare it as text.
//
//	"<epoch>.<seq>"            an item: the commit that wrote this version
//	"<epoch>.<seq>.<digest>"   a collection: the commit that wrote its definition, and a digest of what else is shown
//	W/"<epoch>.<seq>.<digest>" the answer to a query: the last commit of the collection, and a digest of the query
//	"<digest>"                 any other answer: a digest of its body
//
// After a restore, numbers are used again, but epochs are not. A compressed answer is another
// representation (§8.8.3.3): its tag ends in -gzip or -zstd. In conditions, the server treats
// these tags as equal to the one without that ending.

const headerTag = "Etag" // as http.Header has it

// maxTagBytes is the length of the longest tag.
const maxTagBytes = 1 + maxEpochBytes + 1 + 13 + 1

func makeTag(v store.CommitID) string { return string(appendTag(make([]byte, 0, maxTagBytes), v)) }

func appendTag(b []byte, v store.CommitID) []byte {
	b = append(append(append(b, '"'), v.Epoch...), '.')
	return append(strconv.AppendUint(b, uint64(v.Seq), 36), '"')
}

// tag sets the ETag of an answer to a version. A version whose Seq is 0 has none.
func tag(w http.ResponseWriter, v store.CommitID) {
	if v.Seq != 0 {
		setTag(w, makeTag(v))
	}
}

func setTag(w http.ResponseWriter, text string) {
	e, ok := w.(*exchange)
	switch {
	case text == "":
	case ok:
		e.tag[0] = text
		w.Header()[headerTag] = e.tag[:]
	default:
		w.Header()[headerTag] = []string{text}
	}
}

// packedTags are the ends of the tags of compressed answers, one for each encoding of package
// gzhttp.
var packedTags = [...]string{`-gzip"`, `-zstd"`}

// packing returns the end of the tag of a compressed answer; "": the answer is not compressed.
func packing(text string) string {
	for _, end := range packedTags {
		if strings.HasSuffix(text, end) {
			return end
		}
	}
	return ""
}

// plainTag returns the tag of the same answer without compression.
func plainTag(text string) string {
	if end := packing(text); end != "" {
		return text[:len(text)-len(end)] + `"`
	}
	return text
}

// parseTag reads a tag that makeTag made. false: makeTag cannot have made this text.
func parseTag(text string) (v store.CommitID, ok bool) {
	if len(text) < 2 || len(text) > maxTagBytes {
		return v, false
	}
	epoch, number, _ := strings.Cut(text[1:len(text)-1], ".")
	seq, err := strconv.ParseUint(number, 36, 64)
	if err != nil || epoch == "" {
		return v, false
	}
	v = store.CommitID{Epoch: store.Epoch(epoch), Seq: store.Seq(seq)}
	return v, makeTag(v) == text // numbers can be written in several ways
}
