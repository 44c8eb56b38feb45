package api

import (
	"net/http"
	"strconv"
	"strings"

	"nearby/store"
)

// A tag is the validator of an answer (RFC 9110 §8.8). To callers it is opaque, and it is
// compared as text.
//
//	"<epoch>.<seq>"            an item: the commit that wrote this version
//	"<epoch>.<seq>.<digest>"   a collection: the same of its definition, and what is shown beside it
//	W/"<epoch>.<seq>.<digest>" items that were searched for: the last commit of the collection, and the query
//	"<digest>"                 anything else: what is shown
//
// Numbers are given out again after a restore; epochs are not. A packed answer is another
// representation (§8.8.3.3): its tag ends in -gzip or -zstd. Whoever has one has the other, too.

const headerTag = "Etag" // as http.Header has it

// maxTagBytes is the length of the longest tag.
const maxTagBytes = 1 + maxEpochBytes + 1 + 13 + 1

func makeTag(v store.CommitID) string { return string(appendTag(make([]byte, 0, maxTagBytes), v)) }

func appendTag(b []byte, v store.CommitID) []byte {
	b = append(append(append(b, '"'), v.Epoch...), '.')
	return append(strconv.AppendUint(b, uint64(v.Seq), 36), '"')
}

// tag gives an answer the validator of a version; Seq 0: it has none yet.
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

// packedTags end the tags of packed answers: those of the encodings that a wrapper of
// package gzhttp makes.
var packedTags = [...]string{`-gzip"`, `-zstd"`}

// packing is how the tag of a packed answer ends; "": it is not packed.
func packing(text string) string {
	for _, end := range packedTags {
		if strings.HasSuffix(text, end) {
			return end
		}
	}
	return ""
}

// plainTag is the tag of an answer that is not packed.
func plainTag(text string) string {
	if end := packing(text); end != "" {
		return text[:len(text)-len(end)] + `"`
	}
	return text
}

// parseTag reads what makeTag wrote, letter by letter. false: it is no tag of ours.
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
