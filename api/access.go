package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"nearby/access"
	"nearby/collection"
)

// rule is what a route demands of the API key of a request. Each route has one, where it is
// registered (routes.go). While a store has no keys, and none are demanded (Options.NeedKey), every
// request is answered, but for those of localAdmin.
type rule uint8

const (
	_          rule = iota // none: no route has it
	open                   // no key is looked at
	public                 // no key is needed; what is shown depends on the one that is sent
	anyKey                 // any key; what is shown depends on it
	readOf                 // a key for the collection in the path
	writeOf                // the same, with the scope write
	adminOf                // the same, with the scope admin
	admin                  // a key with the scope admin for all collections
	localAdmin             // the same; while there are no keys, the request must come from a program on this machine
	numRules
)

// scopes are what the rules demand.
var scopes = [numRules]access.Scope{readOf: access.Read, writeOf: access.Write, adminOf: access.Admin, admin: access.Admin, localAdmin: access.Admin}

func (u rule) String() string {
	return [numRules]string{"none", "open", "public", "any", "read", "write", "admin", "server", "local"}[u]
}

// caller is who sends a request, as far as its key tells.
type caller struct {
	key     *access.Key    // nil: the request has none, or none that may be used
	known   *access.Key    // the key that was refused
	needed  bool           // keys are in use: what is shown depends on the key
	refused access.Refusal // "": the request was not refused
}

// callerOf returns who sends the request that has the context. Its key is nil while keys are not in
// use.
func callerOf(ctx context.Context) caller {
	if e, ok := ctx.Value(exchangeKey).(*exchange); ok {
		return e.caller
	}
	return caller{}
}

// mayRead reports whether the caller may read a collection.
func (c caller) mayRead(collection string) bool {
	return !c.needed || c.key != nil && c.key.Covers(collection)
}

// private and privateVary are headers of answers that are for one key. Shared caches must not store
// these (RFC 9111, section 5.2.2.7), and a browser that has several keys must tell them apart.
var private, privateVary = []string{"private, no-cache"}, []string{headerAuthorization}

const (
	headerAuthorization = "Authorization"
	headerChallenge     = "Www-Authenticate" // as http.Header has it
)

// authorize compares a request with the rule of its route. If it is refused, the error is its
// problem.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, e *exchange, u rule) error {
	if u == open {
		return nil
	}
	ring, err := s.opt.Catalog.Keys()
	switch {
	case err != nil && r.URL.Path == "/metrics" && !s.opt.NeedKey:
		return nil // they say how far a start is, and know no collection yet
	case err != nil && u != public: // the keys are not read yet
		return err
	case err == nil && ring == nil && !s.opt.NeedKey:
		if u == localAdmin && !local(r) {
			c := callerNotLocal
			if r.URL.Path == "/v1/backup" { // which had its own cause before there were keys
				c = backupNotAllowed
			}
			return newProblem(c, "")
		}
		return nil
	}
	e.caller.needed = true
	h := w.Header()
	h["Cache-Control"] = private
	if h["Vary"] == nil {
		h["Vary"] = privateVary
	} else {
		h["Vary"] = append(h["Vary"], headerAuthorization)
	}
	text, given := bearer(r)
	if !given {
		if u == public {
			return nil
		}
		return e.refuse(access.Missing, newProblem(keyNeeded, "the request has no API key; send one in the header Authorization: Bearer"))
	}
	if err != nil {
		return err
	}
	key, why := ring.Find(text, e.begun)
	e.caller.known = key
	if why != "" {
		return e.refuse(why, newProblem(keyNeeded, "the API key is not valid: it is unknown, revoked or expired"))
	}
	if len(key.Origins) > 0 && !key.From(originOf(r)) {
		return e.refuse(access.OtherOrigin, newProblem(forbidden, fmt.Sprintf("the key %s is for web pages of other origins", key.ID)))
	}
	if need := scopes[u]; need != 0 {
		if err := e.demand(r, key, u, need); err != nil {
			return err
		}
	}
	e.caller.key = key
	return nil
}

// demand compares a key with the rule of a route that demands a scope. It does not look whether the
// collection exists. So a key learns nothing of collections that it is not for.
func (e *exchange) demand(r *http.Request, key *access.Key, u rule, need access.Scope) error {
	switch u {
	case admin, localAdmin:
		if !key.Everywhere() {
			return e.refuse(access.OtherCollection, newProblem(forbidden, fmt.Sprintf("this needs a key for all collections; the key %s is for %s", key.ID, strings.Join(key.Collections, ", "))))
		}
	default:
		name, err := pathParam(r, "collectionId")
		if err != nil {
			return err
		}
		if !key.Covers(name) {
			return e.refuse(access.OtherCollection, newProblem(forbidden, fmt.Sprintf("the key %s is for %s", key.ID, strings.Join(key.Collections, ", "))))
		}
	}
	if key.Scope < need {
		return e.refuse(access.LowScope, newProblem(forbidden, fmt.Sprintf("this needs the scope %s; the key %s has %s", need, key.ID, key.Scope)))
	}
	return nil
}

// refuse notes why a request is refused.
func (e *exchange) refuse(why access.Refusal, p *problem) error {
	e.caller.refused = why
	switch why { // RFC 6750, section 3.1
	case access.Missing:
		p.challenge = `Bearer realm="nearby"`
	case access.LowScope, access.OtherCollection, access.OtherOrigin:
		p.challenge = `Bearer realm="nearby", error="insufficient_scope"`
	default:
		p.challenge = `Bearer realm="nearby", error="invalid_token"`
	}
	return p
}

// bearer returns the text of the key that a request has (RFC 6750, section 2.1). Another scheme of
// Authorization is none: it may be for a proxy.
func bearer(r *http.Request) (text string, given bool) {
	lines := r.Header[headerAuthorization]
	if len(lines) == 0 {
		return "", false
	}
	scheme, text, _ := strings.Cut(lines[0], " ")
	return strings.Trim(text, " "), strings.EqualFold(scheme, "Bearer")
}

// originOf returns the origin of the page that has sent a request, or "". A browser sends no Origin
// with a GET of a page of the server's own origin; then it is in Referer.
func originOf(r *http.Request) string {
	if origin := r.Header["Origin"]; len(origin) > 0 {
		return origin[0]
	}
	u, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Refused returns how many requests were refused because of their key, by cause. It has a number for
// each cause.
func (s *Server) Refused() map[string]uint64 {
	all := map[string]uint64{}
	for i, why := range access.Refusals() {
		all[string(why)] = s.refusals[i].Load()
	}
	return all
}

// countRefusal counts a request that was refused.
func (s *Server) countRefusal(why access.Refusal) {
	for i, one := range access.Refusals() {
		if one == why {
			s.refusals[i].Add(1)
		}
	}
}

// visible removes the collections that the caller may not read.
func (c caller) visible(all []*collection.Collection) []*collection.Collection {
	if !c.needed {
		return all
	}
	kept := all[:0]
	for _, col := range all {
		if c.mayRead(col.Name()) {
			kept = append(kept, col)
		}
	}
	return kept
}
