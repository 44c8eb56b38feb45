package api

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"strings"

	"github.com/dunglas/httpsfv"

	"nearby/collection"
)

// Headers of requests that may be sent again, as http.Header has them.
const (
	headerKey      = "Idempotency-Key"     // a name of the request, chosen by the client
	headerReplayed = "Idempotent-Replayed" // true: the server had made this write before
)

const maxKeyBytes = 255

// keyOf returns the key of a request, or "" if it has none.
func keyOf(r *http.Request) (string, error) {
	given := r.Header[headerKey]
	if given == nil {
		return "", nil
	}
	key, ok := parseKey(given[0])
	if !ok {
		return "", badParameter(headerKey, given[0], "must be a string in quotes of 1 to 255 printable ASCII characters", "")
	}
	return key, nil
}

// idempotencyKey returns the key of a request with the request's fingerprint, or nil if it has no
// key.
func (t *target) idempotencyKey(r *http.Request, body []byte) *collection.IdempotencyKey {
	if t.key == "" {
		return nil
	}
	key := t.key
	if c := callerOf(r.Context()); c.key != nil {
		// What one API key has written is not for another to see. Successors of a key are of one
		// family. The separator is no character of a key that a request has.
		key = c.key.Family + "\x01" + key
	}
	return &collection.IdempotencyKey{Key: key, Fingerprint: fingerprint(r, body)}
}

// parseKey reads a string of structured fields (RFC 9651) without parameters. Many clients send
// it without quotes, so that is allowed, too, if all characters are allowed in a token. A token of
// structured fields would not do, since it cannot begin with a digit, and a UUID can.
func parseKey(text string) (key string, ok bool) {
	key, ok = text, !strings.ContainsFunc(text, notToken)
	if strings.HasPrefix(text, `"`) {
		field, err := httpsfv.UnmarshalItem([]string{text})
		if err != nil || len(field.Params.Names()) > 0 {
			return "", false
		}
		key, ok = field.Value.(string)
	}
	return key, ok && key != "" && len(key) <= maxKeyBytes
}

func notToken(r rune) bool {
	return notAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~:/", r)
}

// fingerprint is a digest of a request. It differs for another request with the same key.
func fingerprint(r *http.Request, body []byte) []byte {
	h := sha256.New()
	for _, part := range []string{
		r.Method, r.URL.EscapedPath(), r.URL.RawQuery,
		r.Header.Get("Content-Type"), strings.Join(r.Header[headerMatch], ","), strings.Join(r.Header[headerNoneMatch], ","),
	} {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	for _, date := range r.Header[headerUnmodified] {
		h.Write([]byte(date))
	}
	h.Write(body)
	return h.Sum(nil)
}
