package access

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"
)

// Refusal is why a request is refused; "": it is not.
type Refusal string

// Causes of refusals.
const (
	Missing         Refusal = "missing"    // the request has no key
	Malformed       Refusal = "malformed"  // what it has is not the text of a key
	Unknown         Refusal = "unknown"    // there is no key with this text
	Expired         Refusal = "expired"    // the time of the key is over
	Revoked         Refusal = "revoked"    // somebody has revoked the key
	LowScope        Refusal = "scope"      // the key has a lower scope
	OtherCollection Refusal = "collection" // the key is for other collections
	OtherOrigin     Refusal = "origin"     // the key is for web pages of other origins
)

// Refusals are all causes.
func Refusals() []Refusal {
	return []Refusal{Missing, Malformed, Unknown, Expired, Revoked, LowScope, OtherCollection, OtherOrigin}
}

// Ring is all keys of a store. It is not changed once others see it.
type Ring struct{ keys map[string]*Key }

// NewRing returns a ring without keys.
func NewRing() *Ring { return &Ring{map[string]*Key{}} }

// Add adds a key as a store has it. If it cannot be read, it is one that nobody has.
func (r *Ring) Add(id string, data []byte) {
	k, err := Unmarshal(id, data)
	if err != nil {
		k = &Key{ID: id, Name: "cannot be read", Revoked: time.Unix(0, 0).UTC()}
	}
	r.keys[k.ID] = k
}

// Len is the number of keys, with those that are revoked or expired. r may be nil.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.keys)
}

// Get returns the key with an id, or nil. r may be nil.
func (r *Ring) Get(id string) *Key {
	if r == nil {
		return nil
	}
	return r.keys[id]
}

// List returns all keys, the oldest first. r may be nil.
func (r *Ring) List() []*Key {
	all := make([]*Key, 0, r.Len())
	if r != nil {
		for _, k := range r.keys {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b *Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// nobody has the hash of no text that is known, and stands for a key that there is not.
var nobody Key

// Find returns the key with a text, or why there is none that may be used now. If the key is known,
// it is returned also when it is refused, for the log. r may be nil.
//
// The hash is SHA-256, which is quick. A slow one, as for passwords, would protect a secret that can be
// guessed; nobody guesses 256 random bits. The comparison takes the same time wherever two hashes
// begin to differ.
func (r *Ring) Find(text string, now time.Time) (*Key, Refusal) {
	id := idOf(text)
	if id == "" {
		return nil, Malformed
	}
	var copied [textLength]byte // on the stack; a conversion would allocate
	copy(copied[:], text)
	hash := sha256.Sum256(copied[:])
	k := r.Get(id)
	known := k != nil
	if !known {
		k = &nobody
	}
	if same := subtle.ConstantTimeCompare(hash[:], k.Hash[:]) == 1; !same || !known {
		if !CheckText(text) {
			return nil, Malformed
		}
		return nil, Unknown
	}
	switch {
	case !k.Revoked.IsZero():
		return k, Revoked
	case !k.Ended(now).IsZero():
		return k, Expired
	}
	return k, ""
}
