package api_test

import (
	"math"
	"strings"
	"testing"

	"nearby/api"
	"nearby/store"
)

// TestTokens: a token says the position that it was made of, and nothing else is one.
func TestTokens(t *testing.T) {
	for _, at := range []store.CommitID{
		{Epoch: "a", Seq: 0}, {Epoch: "0123456789abcdef0123456789ABCDEF", Seq: math.MaxUint64}, {Epoch: "v1", Seq: 1}, {Epoch: "7", Seq: 46655},
	} {
		text := api.MakeToken(at)
		if got, ok := api.ParseToken(text); !ok || got != at {
			t.Errorf("%+v became %q, which reads %+v, %v", at, text, got, ok)
		}
		for i := range text { // each letter counts
			for _, c := range "0z.A" {
				other := text[:i] + string(c) + text[i+1:]
				if got, ok := api.ParseToken(other); other != text && ok {
					t.Errorf("%q, a typing error in %q, reads %+v", other, text, got)
				}
			}
			if _, ok := api.ParseToken(text[:i]); ok {
				t.Errorf("%q, cut off, is a token", text[:i])
			}
		}
	}
	good := api.MakeToken(store.CommitID{Epoch: "abc", Seq: 35})
	if longest := api.MakeToken(store.CommitID{Epoch: store.Epoch(strings.Repeat("e", 32)), Seq: math.MaxUint64}); len(longest) != api.MaxTokenBytes {
		t.Errorf("the longest token has %d bytes, not %d", len(longest), api.MaxTokenBytes)
	}
	for _, bad := range []string{
		"", "v1", "v1...", good + " ", " " + good, good + ".", good + "0", strings.ToUpper(good), strings.Replace(good, ".z.", ".Z.", 1),
		strings.Replace(good, ".z.", ".0z.", 1), strings.Replace(good, "v1", "v2", 1), strings.Replace(good, "abc", "", 1),
		// Right but for what they say: the checksum holds.
		api.MakeToken(store.CommitID{Epoch: "", Seq: 1}), api.MakeToken(store.CommitID{Epoch: "é", Seq: 1}), api.MakeToken(store.CommitID{Epoch: "a-b", Seq: 1}),
		api.MakeToken(store.CommitID{Epoch: store.Epoch(strings.Repeat("e", 33)), Seq: 1}), api.MakeToken(store.CommitID{Epoch: "a.b", Seq: 1}),
		strings.Repeat("v1.", 1<<20),
	} {
		if got, ok := api.ParseToken(bad); ok {
			t.Errorf("%.60q reads %+v", bad, got)
		}
	}
}

// FuzzToken: whatever is a token is what its position is written as.
func FuzzToken(f *testing.F) {
	f.Add(api.MakeToken(store.CommitID{Epoch: "abc", Seq: 35}))
	f.Add("v1.abc.zz.00000000")
	f.Add("v1..0.")
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := api.ParseToken(text)
		if ok && (api.MakeToken(at) != text || at.Epoch == "" || len(text) > api.MaxTokenBytes) {
			t.Errorf("%q reads %+v", text, at)
		}
		if back, ok := api.ParseToken(api.MakeToken(store.CommitID{Epoch: "e", Seq: at.Seq})); !ok || back.Seq != at.Seq {
			t.Errorf("%d does not come back", at.Seq)
		}
	})
}
