package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/access"
)

// keyIn is the body of a request for a new key.
type keyIn struct {
	Name        string   `json:"name"`
	Scope       string   `json:"scope"`
	Collections []string `json:"collections"`
	Origins     []string `json:"origins"`
	Filter      string   `json:"filter"`
	Expires     timeIn   `json:"expires"`
}

// timeIn is a time in a body, as RFC 3339 has it.
type timeIn struct{ time.Time }

// UnmarshalJSON is part of json.Unmarshaler.
func (t *timeIn) UnmarshalJSON(data []byte) error {
	text, err := jsontext.AppendUnquote(nil, data)
	if err == nil {
		t.Time, err = time.Parse(time.RFC3339, string(text))
	}
	if err != nil {
		return badField("expires", string(data), "must be a time as RFC 3339 has it, such as 2027-01-31T00:00:00Z", "")
	}
	return nil
}

// keyOut is how a key is shown.
type keyOut struct {
	ID          string    `json:"id"`
	Name        string    `json:"name,omitzero"`
	State       string    `json:"state"`
	Scope       string    `json:"scope"`
	Collections []string  `json:"collections"`
	Origins     []string  `json:"origins,omitempty"`
	Filter      string    `json:"filter,omitzero"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires,omitzero"`
	Revoked     time.Time `json:"revoked,omitzero"`
	Successor   string    `json:"successor,omitzero"`
	Key         string    `json:"key,omitzero"` // its text, in the answer to the request that made it
}

func showKey(k *access.Key, now time.Time) keyOut {
	return keyOut{
		ID: k.ID, Name: k.Name, State: k.State(now), Scope: k.Scope.String(), Collections: k.Collections, Origins: k.Origins, Filter: k.Filter,
		Created: k.Created, Expires: k.Expires, Revoked: k.Revoked, Successor: k.Successor,
	}
}

// noStore keeps an answer out of every cache: it has the text of a key, or is about keys.
func noStore(w http.ResponseWriter) { w.Header()["Cache-Control"] = []string{"no-store"} }

func (s *Server) listKeys(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	ring, err := s.opt.Catalog.Keys()
	if err != nil {
		return err
	}
	now := time.Now()
	out := struct {
		Keys []keyOut `json:"keys"`
	}{make([]keyOut, 0, ring.Len())}
	for _, k := range ring.List() {
		out.Keys = append(out.Keys, showKey(k, now))
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, out)
}

// keyInPath returns the key that the path names.
func (s *Server) keyInPath(r *http.Request) (ring *access.Ring, id string, err error) {
	if err := checkParameters(r, 0); err != nil {
		return nil, "", err
	}
	if id, err = pathParam(r, "keyId"); err != nil {
		return nil, "", err
	}
	if ring, err = s.opt.Catalog.Keys(); err != nil {
		return nil, "", err
	}
	if ring.Get(id) == nil {
		return nil, "", newProblem(keyNotFound, "")
	}
	return ring, id, nil
}

func (s *Server) getKey(w http.ResponseWriter, r *http.Request) error {
	ring, id, err := s.keyInPath(r)
	if err != nil {
		return err
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, showKey(ring.Get(id), time.Now()))
}

// postKey makes a key. The answer has its text, which is shown only here.
func (s *Server) postKey(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	var in keyIn
	if err := s.readJSON(w, r, s.opt.Limits.MaxBodyBytes, &in, appJSON); err != nil {
		return err
	}
	var scope access.Scope
	if err := scope.UnmarshalText([]byte(in.Scope)); err != nil {
		return badField("scope", in.Scope, err.Error(), "")
	}
	ring, err := s.opt.Catalog.Keys()
	if err != nil {
		return err
	}
	made, text, changes, err := ring.Create(access.Key{
		Name: in.Name, Scope: scope, Collections: in.Collections, Origins: in.Origins, Filter: in.Filter, Expires: in.Expires.Time,
	}, time.Now())
	if err != nil {
		return err
	}
	return s.answerNewKey(w, r, &made, text, changes)
}

// answerNewKey makes the changes, and answers with the new key and its text.
func (s *Server) answerNewKey(w http.ResponseWriter, r *http.Request, made *access.Key, text string, changes []access.Change) error {
	if err := s.changeKeys(r, changes); err != nil {
		return err
	}
	out := showKey(made, time.Now())
	out.Key = text
	noStore(w)
	w.Header().Set("Location", s.base(r)+"/v1/keys/"+made.ID)
	return writeJSON(w, http.StatusCreated, out)
}

// changeKeys makes changes of the keys, and says in the log who has made them.
func (s *Server) changeKeys(r *http.Request, changes []access.Change) (err error) {
	slotOf(r.Context()).idle(func() { err = s.opt.Catalog.ChangeKeys(r.Context(), changes) })
	if err != nil {
		return err
	}
	by := "anybody, since there was no key"
	if c := callerOf(r.Context()); c.key != nil {
		by = c.key.ID
	}
	for i := range changes {
		s.opt.Log.InfoContext(r.Context(), "an API key was changed", "id", requestID(r.Context()), "key", changes[i].ID, "change", changes[i].String(), "by", by)
	}
	return nil
}

// maxOverlap is the longest time for which a key and its successor may be used.
const maxOverlap = 366 * 24 * time.Hour

// rotateIn is the body of a request for a successor of a key.
type rotateIn struct {
	OverlapSeconds int64 `json:"overlapSeconds"`
}

// rotateKey makes a successor of a key.
func (s *Server) rotateKey(w http.ResponseWriter, r *http.Request) error {
	ring, id, err := s.keyInPath(r)
	if err != nil {
		return err
	}
	in := rotateIn{OverlapSeconds: int64(24 * time.Hour / time.Second)}
	if err := s.readJSON(w, r, s.opt.Limits.MaxBodyBytes, &in, appJSON); err != nil {
		return err
	}
	if in.OverlapSeconds < 0 || in.OverlapSeconds > int64(maxOverlap/time.Second) {
		return badField("overlapSeconds", fmt.Sprint(in.OverlapSeconds), fmt.Sprintf("must be from 0 to %d", int64(maxOverlap/time.Second)), "")
	}
	next, text, changes, err := ring.Rotate(id, time.Duration(in.OverlapSeconds)*time.Second, time.Now())
	if err != nil {
		return err
	}
	return s.answerNewKey(w, r, &next, text, changes)
}

// deleteKey revokes a key. It is still listed for some time.
func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request) error {
	ring, id, err := s.keyInPath(r)
	if err != nil {
		return err
	}
	changes, err := ring.Revoke(id, time.Now())
	if err == nil {
		err = s.changeKeys(r, changes)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
