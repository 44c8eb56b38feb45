package api_test

import (
	"testing"

	"nearby/api"
)

// TestFramingLines: the lines that may say where a request ends are counted, in whatever pieces
// they come in.
func TestFramingLines(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0,
		"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello":     1,
		"PUT / HTTP/1.1\ncontent-length:5\nTRANSFER-ENCODING:chunked\n\n": 2,
		"content-length:\ncontent-length:\n":                              2,
		"content-length":                                                  0,
		"a\n content-length: 5\nx-content-length: 5\ncontent-lengths: 5":  0,
		"a\n\n\n\ncontent-length: 5":                                      1,
		"GET / HTTP/1.1\r\nHost: content-length: 5\r\n\r\n":               0,
		"0123456789abcdef\ncontent-lengthX\ntransfer-encoding: chunked\n": 1,
	} {
		for step := 1; step <= len(text)+1; step++ {
			if got := api.FramingLines([]byte(text), step); got != want {
				t.Errorf("%q, %d at a time: %d lines, want %d", text, step, got, want)
			}
		}
	}
}
