package client

import (
	"strconv"
	"strings"
	"sync"
)

// token is the latest position that an answer has named.
//
// The token of an answer is never older than the one that its request had. So of requests that
// follow each other the last token is the latest. Of requests at the same time, whose answers
// may come in any order, it is not. To other callers a token is opaque; this package comes with
// the server and compares the numbers in two tokens of one history. Tokens of two histories
// cannot be compared and need not be: a server takes one of another history for a demand to show
// everything.
type token struct {
	mu   sync.Mutex
	last string
}

func (t *token) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// saw takes in the token of an answer; "": it has none.
func (t *token) saw(text string) {
	if text == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	epoch, number, known := parseToken(text)
	if e, n, k := parseToken(t.last); known && k && e == epoch && n > number {
		return
	}
	t.last = text
}

// parseToken reads v1.<epoch>.<number in base 36>.<checksum>.
func parseToken(text string) (epoch string, number uint64, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 4 || parts[0] != "v1" {
		return "", 0, false
	}
	number, err := strconv.ParseUint(parts[2], 36, 64)
	return parts[1], number, err == nil
}
