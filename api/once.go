package api

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"strings"

	"nearby/collection"
)

// Headers of requests that may come again, as http.Header has them.
const (
	headerKey      = "Idempotency-Key"     // names the request, of its sender's choosing
	headerReplayed = "Idempotent-Replayed" // true: it was applied before
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

// once returns what makes a request one that is applied at most once, or nil if it
// has no key.
func (t *target) once(r *http.Request, body []byte) *collection.IdempotencyKey {
	if t.key == "" {
		return nil
	}
	return &collection.IdempotencyKey{Key: t.key, Fingerprint: fingerprint(r, body)}
}

// parseKey reads a string of structured fields (RFC 9651), or a token, which many
// clients send.
func parseKey(text string) (key string, ok bool) {
	inner, quoted := strings.CutPrefix(text, `"`)
	if !quoted {
		return text, text != "" && len(text) <= maxKeyBytes && !strings.ContainsFunc(text, notToken)
	}
	var b strings.Builder
	for i := 0; i < len(inner) && b.Len() <= maxKeyBytes; i++ {
		c := inner[i]
		switch {
		case c == '"':
			return b.String(), i == len(inner)-1 && b.Len() > 0 && b.Len() <= maxKeyBytes
		case c == '\\':
			if i++; i == len(inner) || inner[i] != '"' && inner[i] != '\\' {
				return "", false
			}
			c = inner[i]
		case c < ' ' || c > '~':
			return "", false
		}
		b.WriteByte(c)
	}
	return "", false
}

func notToken(r rune) bool {
	return notAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~:/", r)
}

// fingerprint tells a request from another with the same key.
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
