package access

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"nearby/item"
)

// Scope is what a key may do in its collections. Each scope includes those before it.
type Scope uint8

// The scopes.
const (
	Read  Scope = iota + 1 // ask for items, and for what collections are
	Write                  // write items
	Admin                  // create, change and delete collections
)

var scopes = [...]string{Read: "read", Write: "write", Admin: "admin"}

func (s Scope) String() string {
	if s < Read || s > Admin {
		return "none"
	}
	return scopes[s]
}

// MarshalText is part of encoding.TextMarshaler.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is part of encoding.TextUnmarshaler.
func (s *Scope) UnmarshalText(text []byte) error {
	i := slices.Index(scopes[Read:], string(text))
	if i < 0 {
		return errNoScope
	}
	*s = Read + Scope(i)
	return nil
}

var errNoScope = errors.New("must be read, write or admin")

// Limits of keys.
const (
	MaxKeys           = 10_000 // that a store has, with those that are revoked or expired
	MaxNameCharacters = 256
	MaxCollections    = 100 // patterns of one key
	MaxOrigins        = 100 // of one key
	maxPatternBytes   = 64 + 1
	maxOriginBytes    = 300
)

// Everything is the pattern of all collections.
const Everything = "*"

// Hash is the SHA-256 of a key's text.
type Hash [sha256.Size]byte

// MarshalText is part of encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText is part of encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return errors.New("is not a SHA-256 in hexadecimal digits")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Key is what is known of an API key. Its text is not: that is shown once, when the key is made.
// A Key is not changed once others see it.
type Key struct {
	ID          string    `json:"-"`
	Name        string    `json:"name,omitzero"` // for people
	Hash        Hash      `json:"hash"`
	Scope       Scope     `json:"scope"`
	Collections []string  `json:"collections"`        // names, and beginnings of names with a * after them
	Origins     []string  `json:"origins,omitempty"`  // from whose web pages the key may be used; nil: from anywhere
	Filter      string    `json:"filter,omitzero"`    // CQL2 Text that the items must match; not in use yet
	Successor   string    `json:"successor,omitzero"` // id of the key that takes the place of this one
	Family      string    `json:"family"`             // id of the first key of the series that rotation has made
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires,omitzero"` // zero: never
	Revoked     time.Time `json:"revoked,omitzero"` // zero: it is not
}

// New makes a key with the rights and the name that k has, and returns it with its text. The faults
// of k are *item.FieldErrors, joined.
func New(k Key, now time.Time) (made Key, text string, err error) {
	made = Key{
		Name: k.Name, Scope: k.Scope, Collections: slices.Clone(k.Collections), Origins: slices.Clone(k.Origins),
		Filter: k.Filter, Family: k.Family, Created: now.UTC().Truncate(time.Millisecond), Expires: k.Expires.UTC().Truncate(time.Second),
	}
	if len(made.Collections) == 0 {
		made.Collections = []string{Everything}
	}
	if err := made.check(now); err != nil {
		return Key{}, "", err
	}
	made.ID, text = newText()
	made.Hash = sha256.Sum256([]byte(text))
	if made.Family == "" {
		made.Family = made.ID
	}
	return made, text, nil
}

// check returns what is wrong with a new key.
func (k *Key) check(now time.Time) error {
	var errs []error
	fault := func(field, got, reason string) {
		errs = append(errs, &item.FieldError{Field: field, Got: item.Shorten(got), Reason: reason})
	}
	if k.Scope < Read || k.Scope > Admin {
		fault("scope", "", errNoScope.Error())
	}
	if !utf8.ValidString(k.Name) || utf8.RuneCountInString(k.Name) > MaxNameCharacters || strings.ContainsFunc(k.Name, unicode.IsControl) {
		fault("name", k.Name, fmt.Sprintf("must have at most %d characters, and no control characters", MaxNameCharacters))
	}
	if len(k.Collections) > MaxCollections {
		fault("collections", "", fmt.Sprintf("must be at most %d", MaxCollections))
	}
	for i, pattern := range k.Collections[:min(len(k.Collections), MaxCollections)] {
		if !validPattern(pattern) {
			fault(fmt.Sprintf("collections[%d]", i), pattern, "must be the name of a collection, or the beginning of names and a * after it, such as shops-*")
		}
	}
	if len(k.Origins) > MaxOrigins {
		fault("origins", "", fmt.Sprintf("must be at most %d", MaxOrigins))
	}
	for i, origin := range k.Origins[:min(len(k.Origins), MaxOrigins)] {
		if !validOrigin(origin) {
			fault(fmt.Sprintf("origins[%d]", i), origin, "must be an origin as browsers send it, such as https://maps.example.org: in lower case, without a path and without the default port")
		}
	}
	if len(k.Origins) > 0 && k.Scope > Read {
		fault("scope", k.Scope.String(), "must be read for a key with origins, since everybody who opens the page can see the key")
	}
	if k.Filter != "" {
		fault("filter", "", "is not supported yet")
	}
	if !k.Expires.IsZero() && !k.Expires.After(now) {
		fault("expires", k.Expires.Format(time.RFC3339), "must be in the future")
	}
	return errors.Join(errs...)
}

func validPattern(pattern string) bool {
	name, _ := strings.CutSuffix(pattern, "*")
	valid := len(pattern) <= maxPatternBytes && pattern != "" && !strings.HasPrefix(name, ".")
	for i := 0; valid && i < len(name); i++ {
		c := name[i]
		valid = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-", c) >= 0
	}
	return valid
}

func validOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && len(origin) <= maxOriginBytes && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" &&
		origin == strings.ToLower(u.Scheme+"://"+u.Host) &&
		(u.Scheme != "https" || u.Port() != "443") && (u.Scheme != "http" || u.Port() != "80") && !strings.HasSuffix(origin, ":")
}

// Ended returns when the key was revoked or expired; zero: it is in use.
func (k *Key) Ended(now time.Time) time.Time {
	switch {
	case !k.Revoked.IsZero():
		return k.Revoked
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return k.Expires
	}
	return time.Time{}
}

// State is active, revoked or expired.
func (k *Key) State(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Ended(now).IsZero():
		return "expired"
	}
	return "active"
}

// Everywhere reports whether the key is for all collections.
func (k *Key) Everywhere() bool { return slices.Contains(k.Collections, Everything) }

// Covers reports whether the key is for a collection, which need not exist.
func (k *Key) Covers(collection string) bool {
	for _, pattern := range k.Collections {
		if beginning, ok := strings.CutSuffix(pattern, "*"); pattern == collection || ok && strings.HasPrefix(collection, beginning) {
			return true
		}
	}
	return false
}

// From reports whether the key may be used by a web page of an origin; "": by a program that names
// none.
func (k *Key) From(origin string) bool {
	return len(k.Origins) == 0 || slices.Contains(k.Origins, origin)
}

// Marshal returns the key as a store keeps it.
func (k *Key) Marshal() ([]byte, error) { return json.Marshal(k, json.Deterministic(true)) }

// Unmarshal reads what Marshal has made. It refuses members that it does not know: a newer version
// may have given the key a limit that this one would pass over.
func Unmarshal(id string, data []byte) (*Key, error) {
	k := &Key{}
	if err := json.Unmarshal(data, k, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	k.ID = strings.Clone(id)
	return k, nil
}
