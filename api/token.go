package api

import (
	"hash/crc32"
	"strconv"
	"strings"
	"sync/atomic"

	"nearby/store"
)

// A token names a position in the store's history. With it a caller can ask any replica for an
// answer that is at least as new:
//
//	v1.<epoch>.<seq in base 36>.<CRC-32C of what comes before, 8 hexadecimal digits>
//
// Callers pass a token on without changes. The checksum lets the server notice a token that was
// cut off or made up; it is no secret.

const tokenVersion = "v1"

// Lengths of the longest epoch and of the longest token.
const (
	maxEpochBytes = 32
	maxTokenBytes = len(tokenVersion) + 1 + maxEpochBytes + 1 + 13 + 1 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func makeToken(at store.CommitID) string {
	b := make([]byte, 0, maxTokenBytes)
	b = append(append(b, tokenVersion+"."...), at.Epoch...)
	b = strconv.AppendUint(append(b, '.'), uint64(at.Seq), 36)
	sum := crc32.Checksum(b, castagnoli)
	b = append(b, '.')
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[sum>>shift&15])
	}
	return string(b)
}

// parseToken reads a token that makeToken made. false: makeToken cannot have made this text.
func parseToken(text string) (at store.CommitID, ok bool) {
	if len(text) > maxTokenBytes {
		return at, false
	}
	rest, ok := strings.CutPrefix(text, tokenVersion+".")
	if !ok {
		return at, false
	}
	epoch, rest, _ := strings.Cut(rest, ".")
	number, _, _ := strings.Cut(rest, ".")
	if epoch == "" || len(epoch) > maxEpochBytes || strings.ContainsFunc(epoch, notAlphanumeric) {
		return at, false
	}
	seq, err := strconv.ParseUint(number, 36, 64)
	if err != nil {
		return at, false
	}
	at = store.CommitID{Epoch: store.Epoch(epoch), Seq: store.Seq(seq)}
	if makeToken(at) != text { // the checksum, and numbers that can be written in several ways
		return store.CommitID{}, false
	}
	return at, true
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// tokens makes the values of Nearby-Token. Answers that show the same position share one value.
type tokens struct {
	// recent are recent values, by the last bits of Seq. So a collection that is not written keeps
	// its value while others change.
	recent [64]atomic.Pointer[tokenText]
}

type tokenText struct {
	at   store.CommitID
	text []string // the header's value; its capacity is its length, so an append copies it
}

func (t *tokens) of(at store.CommitID) []string {
	slot := &t.recent[at.Seq%store.Seq(len(t.recent))]
	known := slot.Load()
	if known == nil || known.at != at {
		known = &tokenText{at, []string{makeToken(at)}}
		slot.Store(known)
	}
	return known.text
}
