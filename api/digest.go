package api

import (
	"net/http"
	"strings"

	"github.com/cespare/xxhash/v2"

	"nearby/collection"
	"nearby/store"
)

// digest tells texts apart (xxHash, 64 bits). It is the same in every process.
type digest uint64

const digestBytes = 16 // of its text

// of returns the digest of what came before and another text: ab, c is not a, bc.
func (d digest) of(text string) digest {
	var h xxhash.Digest
	h.ResetWithSeed(uint64(d))
	_, _ = h.WriteString(text) // it never fails
	return digest(h.Sum64())
}

// append appends its text.
func (d digest) append(b []byte) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[d>>shift&15])
	}
	return b
}

func notHex(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }

// tag is the validator of an answer that has this digest.
func (d digest) tag() string { return `"` + string(d.append(nil)) + `"` }

// queryTag is the validator of what a snapshot answers to a query: it changes with every commit to
// the collection. The order of the parameters does not matter. It is weak: the time
// and the cost of a search are not told by it. "": there is none, since what is shown is
// not yet committed.
func (s *Server) queryTag(c *collection.Collection, snap *collection.Snapshot, r *http.Request, q *query) string {
	if c.LossWindow() > 0 {
		return ""
	}
	d := s.settings.of(r.URL.Path)
	for _, a := range q.values.given[:q.values.n] {
		if a.name == "properties" { // which may mean more
			a.value = a.raw
		}
		d += digest(0).of(a.name).of(a.value)
	}
	for name, text := range q.filter.Added() {
		d += digest(0).of("=").of(name).of(text)
	}
	b := make([]byte, 0, len("W/")+maxTagBytes+1+digestBytes)
	b = append(b, "W/"...)
	b = appendTag(b, c.At(snap.Seq()))
	return string(append(d.append(append(b[:len(b)-1], '.')), '"'))
}

// collectionTag is the validator of a collection as it is shown: the version of its
// definition, and what follows from the items. Where the answer came from, and how much
// memory that server needs, are no part of it.
func collectionTag(v store.CommitID, out *collectionOut) (string, error) {
	d, err := out.digest(0)
	if err != nil {
		return "", err
	}
	b := appendTag(make([]byte, 0, maxTagBytes+1+digestBytes), v)
	return string(append(d.append(append(b[:len(b)-1], '.')), '"')), nil
}

// writeTagged answers a GET with what has no version.
func writeTagged(w http.ResponseWriter, r *http.Request, contentType string, body []byte) error {
	if known, err := unchanged(w, r, digest(0).of(string(body)).tag(), 0); known || err != nil {
		return err
	}
	return write(w, contentType, http.StatusOK, body)
}
