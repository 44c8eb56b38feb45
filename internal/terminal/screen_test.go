package terminal

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestScreen: letters of every script stay as they are; what is joined stands on lines
// of its own, and nothing else does.
func TestScreen(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"Café, 東京, שלום, 👩‍👩‍👧\tx\n": "Café, 東京, שלום, 👩‍👩‍👧\tx\n",
		"\x00\x1b\x7f\r":     `\u0000\u001b\u007f\u000d`,
		"\u0080\u009f\u00a0": `\u0080\u009f` + "\u00a0",
		"\u202a\u2069\u200d": `\u202a\u2069` + "\u200d",
		"\x9b\xff":           "\ufffd\ufffd",
	} {
		var out strings.Builder
		n, err := io.WriteString(&Screen{&out}, in)
		if n != len(in) || err != nil || out.String() != want {
			t.Errorf("%q is written as %q (%d bytes, %v), want %q", in, out.String(), n, err, want)
		}
	}
	var out strings.Builder
	Complain(&out, "nearby", errors.Join(errors.New("one\nnearby: two"), fmt.Errorf("three: %w", errors.Join(errors.New("four"), errors.New("five")))))
	if want := "nearby: one\\u000anearby: two\nnearby: three: four\\u000afive\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
