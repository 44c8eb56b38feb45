package access

import (
	"crypto/rand"
	"encoding/base32"
	"hash/crc32"
	"strings"
)

// The text of a key is
//
//	nearby_<id>_<secret><checksum>
//
// in lower-case letters and the digits 2 to 7 (base32, RFC 4648, without padding). The id has 8
// characters, 40 random bits, and is no secret. The secret has 52 characters, 256 random bits of
// crypto/rand. The checksum has 7 characters, the CRC-32 of all that stands before it. So a program
// that looks for secrets in files knows a key from other text, and a slip of the pen is noticed
// without a look-up. Pattern is what such a program looks for.
const Pattern = `\bnearby_[a-z2-7]{8}_[a-z2-7]{59}\b`

const (
	prefix       = "nearby_"
	letters      = "abcdefghijklmnopqrstuvwxyz234567"
	idBytes      = 5
	secretBytes  = 32
	idLength     = 8
	secretLength = 52
	checkLength  = 7
	endOfID      = len(prefix) + idLength
	endOfSecret  = endOfID + 1 + secretLength
	textLength   = endOfSecret + checkLength
)

var base = base32.NewEncoding(letters).WithPadding(base32.NoPadding)

// newText makes the id and the text of a new key.
func newText() (id, text string) {
	var random [idBytes + secretBytes]byte
	_, _ = rand.Read(random[:]) // it never fails: the process would end
	id = base.EncodeToString(random[:idBytes])
	text = prefix + id + "_" + base.EncodeToString(random[idBytes:])
	sum := checksum([]byte(text))
	return id, text + string(sum[:])
}

func checksum(text []byte) (sum [checkLength]byte) {
	crc := crc32.ChecksumIEEE(text)
	base.Encode(sum[:], []byte{byte(crc >> 24), byte(crc >> 16), byte(crc >> 8), byte(crc)})
	return sum
}

// idOf returns the id in a text that is as long as that of a key and has the same parts, else "".
func idOf(text string) string {
	if len(text) != textLength || !strings.HasPrefix(text, prefix) || text[endOfID] != '_' {
		return ""
	}
	return text[len(prefix):endOfID]
}

// CheckText reports whether text can be that of a key.
func CheckText(text string) bool {
	if idOf(text) == "" {
		return false
	}
	sum := checksum([]byte(text[:endOfSecret]))
	return string(sum[:]) == text[endOfSecret:]
}
