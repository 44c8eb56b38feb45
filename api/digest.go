package api

import (
	"net/http"
	"strings"

	"github.com/cespare/xxhash/v2"

	"nearby/collection"
	"nearby/parameter"
	"nearby/store"
)

// digest is a hash of texts (xxHash, 64 bits). It is the same in every process.
type digest uint64

const digestBytes = 16 // length of a digest as text

// of returns the digest of the earlier texts and another one. "ab", "c" and "a", "bc" have
// different digests.
func (d digest) of(text string) digest {
	var h xxhash.Digest
	h.ResetWithSeed(uint64(d))
	_, _ = h.WriteString(text) // never fails
	return digest(h.Sum64())
}

// namesDigest has the digest of the name of each parameter, by its row in parameter.Table.
var namesDigest = func() (all [len(parameter.Table)]digest) {
	for i := range all {
		all[i] = digest(0).of(parameter.Table[i].Name)
	}
	return all
}()

// append appends the digest as hexadecimal digits.
func (d digest) append(b []byte) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[d>>shift&15])
	}
	return b
}

func notHex(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }

// tag returns the entity tag of an answer that has this digest.
func (d digest) tag() string { return `"` + string(d.append(nil)) + `"` }

// queryTag returns the entity tag of a snapshot's answer to a query. It changes with every commit
// to the collection, and does not depend on the order of the parameters. It is weak, since equal
// answers can differ in timeStamp and in the cost of the search. "": there is none, because the
// answer may show writes that are not yet committed, or may be another one without a commit, when
// new queryables are complete.
func (s *Server) queryTag(c *collection.Collection, snap *collection.Snapshot, r *http.Request, params *parameters) string {
	if c.LossWindow() > 0 || snap.Behind() {
		return ""
	}
	d := s.settings.of(r.URL.Path)
	for i := range params.values.given[:params.values.n] {
		a := &params.values.given[i]
		text := a.value
		if a.name() == "properties" { // %2C and a comma can have different meanings in it
			text = a.raw
		}
		d += namesDigest[a.row].of(text)
	}
	for name, text := range params.filter.Added() {
		d += digest(0).of("=").of(name).of(text)
	}
	b := make([]byte, 0, len("W/")+maxTagBytes+1+digestBytes)
	b = append(b, "W/"...)
	b = appendTag(b, c.At(snap.Seq()))
	return string(append(d.append(append(b[:len(b)-1], '.')), '"'))
}

// collectionTag returns the entity tag of a collection as it is shown. It is made of the version
// of the definition and of what follows from the items, but not of links and of figures that
// differ between servers.
func collectionTag(v store.CommitID, out *collectionOut) (string, error) {
	d, err := out.digest(0)
	if err != nil {
		return "", err
	}
	b := appendTag(make([]byte, 0, maxTagBytes+1+digestBytes), v)
	return string(append(d.append(append(b[:len(b)-1], '.')), '"')), nil
}

// writeTagged answers a GET with a body that has no version. Its entity tag is a digest of the
// body.
func writeTagged(w http.ResponseWriter, r *http.Request, contentType string, body []byte) error {
	if known, err := unchanged(w, r, digest(0).of(string(body)).tag(), 0); known || err != nil {
		return err
	}
	return write(w, contentType, http.StatusOK, body)
}
