package access

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Change is one change of the keys of a store. A server makes it by a Patch, so that two changes of
// one key that meet both count: what one of them ends stays ended.
type Change struct {
	ID     string
	Make   *Key // the new key; nil: the key exists, and what follows is about it
	Remove bool // it is forgotten

	// Zero values stay as they are.
	Expires   time.Time
	Revoked   time.Time
	Successor string
}

// Patch returns the change as a JSON merge patch (RFC 7396) of what Marshal has made.
func (c *Change) Patch() ([]byte, error) {
	return json.Marshal(struct {
		Expires   time.Time `json:"expires,omitzero"`
		Revoked   time.Time `json:"revoked,omitzero"`
		Successor string    `json:"successor,omitzero"`
	}{c.Expires, c.Revoked, c.Successor}, json.Deterministic(true))
}

// String says what the change is, for a log.
func (c *Change) String() string {
	switch {
	case c.Remove:
		return "removed"
	case c.Make != nil:
		return "made, with the scope " + c.Make.Scope.String()
	case !c.Revoked.IsZero():
		return "revoked"
	}
	return "replaced by " + c.Successor
}

// Apply makes the change of a key.
func (c *Change) Apply(k *Key) {
	if !c.Expires.IsZero() {
		k.Expires = c.Expires
	}
	if !c.Revoked.IsZero() {
		k.Revoked = c.Revoked
	}
	if c.Successor != "" {
		k.Successor = c.Successor
	}
}

// Errors of changes. Those about one key wrap these with its id.
var (
	ErrNoKey = errors.New("there is no such key")
	ErrEnded = errors.New("the key is revoked or expired, so nothing can take its place")
	ErrFull  = fmt.Errorf("there are %d keys, which is as many as there may be; keys that have ended are removed %d days later", MaxKeys, keepEnded/24/time.Hour)
)

// keepEnded is how long a key is still listed after it was revoked or has expired.
const keepEnded = 90 * 24 * time.Hour

// maxRemoved is how many keys are removed when one is made.
const maxRemoved = 100

// Create returns a new key with the rights of k, its text, and the changes that make it. These also
// remove keys that have ended long ago. The faults of k are *item.FieldErrors, joined. r may be nil.
func (r *Ring) Create(k Key, now time.Time) (made Key, text string, changes []Change, err error) {
	k.Family = ""
	if made, text, err = New(k, now); err != nil {
		return Key{}, "", nil, err
	}
	changes = []Change{{ID: made.ID, Make: &made}}
	for _, old := range r.List() {
		if ended := old.Ended(now); len(changes) <= maxRemoved && !ended.IsZero() && now.Sub(ended) > keepEnded {
			changes = append(changes, Change{ID: old.ID, Remove: true})
		}
	}
	if r.Len()+2-len(changes) > MaxKeys {
		return Key{}, "", nil, ErrFull
	}
	return made, text, changes, nil
}

// Revoke returns the changes after which the key with the id is refused; none if it was revoked
// before.
func (r *Ring) Revoke(id string, now time.Time) ([]Change, error) {
	k := r.Get(id)
	if k == nil {
		return nil, fmt.Errorf("key %q: %w", id, ErrNoKey)
	}
	if !k.Revoked.IsZero() {
		return nil, nil
	}
	return []Change{{ID: id, Revoked: now.UTC().Truncate(time.Millisecond)}}, nil
}

// Rotate returns a successor of the key with the id, its text, and the changes that make it. It has
// the same rights, and as much time as the key was given. The old key ends when overlap is over, if
// it does not end before.
func (r *Ring) Rotate(id string, overlap time.Duration, now time.Time) (next Key, text string, changes []Change, err error) {
	k := r.Get(id)
	if k == nil {
		return Key{}, "", nil, fmt.Errorf("key %q: %w", id, ErrNoKey)
	}
	if !k.Ended(now).IsZero() {
		return Key{}, "", nil, fmt.Errorf("key %q: %w", id, ErrEnded)
	}
	if r.Len() >= MaxKeys {
		return Key{}, "", nil, ErrFull
	}
	heir := *k
	if !k.Expires.IsZero() {
		heir.Expires = now.Add(k.Expires.Sub(k.Created))
	}
	if next, text, err = New(heir, now); err != nil {
		return Key{}, "", nil, err
	}
	ends := now.Add(overlap).UTC().Truncate(time.Millisecond)
	if !k.Expires.IsZero() && k.Expires.Before(ends) {
		ends = k.Expires
	}
	return next, text, []Change{{ID: next.ID, Make: &next}, {ID: id, Expires: ends, Successor: next.ID}}, nil
}
