package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"nearby/store"
)

// The states of a server. Only a degraded one and a ready one answer about data.
const (
	stateReady    = "ready"
	stateDegraded = "degraded" // answers may be old, writes may fail
	stateStarting = "starting"
	stateDraining = "draining"
)

// health is the body of /healthz and /readyz.
type health struct {
	Status    string `json:"status"`
	Reason    string `json:"reason,omitzero"`
	Staleness *int64 `json:"stalenessMs,omitzero"`
}

func (s *Server) getHealth(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, health{Status: "ok"})
}

// getReady answers whether this server should get requests. A degraded server answers 200, too:
// what degrades one server often degrades all, and old answers are better than none.
func (s *Server) getReady(w http.ResponseWriter, r *http.Request) error {
	h := s.state()
	status := http.StatusOK
	if h.Status == stateStarting || h.Status == stateDraining {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, status, h)
}

func (s *Server) state() health {
	select {
	case <-s.opt.Draining:
		return health{Status: stateDraining, Reason: "the server is stopping"}
	default:
	}
	st := s.opt.Catalog.Status()
	complete := st.Ready
	if complete && s.opt.Complete != nil {
		select {
		case <-s.opt.Complete:
		default:
			complete = false
		}
	}
	if !complete {
		return health{Status: stateStarting, Reason: cmp.Or(store.Reason(st.Degraded), "the collections are still being loaded")}
	}
	ms := roundUp(st.Staleness)
	if st.Degraded != nil {
		return health{stateDegraded, cmp.Or(store.Reason(st.Degraded), "the server's log says why"), &ms}
	}
	return health{Status: stateReady, Staleness: &ms}
}

// Starting answers a request while the store is still being opened. why is the error of the last
// attempt, or nil.
func Starting(w http.ResponseWriter, r *http.Request, why error) {
	h, p := health{Status: stateStarting, Reason: cmp.Or(store.Reason(why), "the store is being opened")}, newProblem(starting, "")
	if store.Reason(why) != "" {
		p = asProblem(why)
	}
	switch r.URL.Path {
	case "/healthz":
		_ = writeJSON(w, http.StatusOK, health{Status: "ok"})
	case "/readyz":
		w.Header().Set("Retry-After", "1")
		_ = writeJSON(w, http.StatusServiceUnavailable, h)
	default:
		_ = p.answer(w, r)
	}
}

// getMetrics answers with the metrics of the process.
func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	if s.opt.Metrics == nil {
		return newProblem(pathNotFound, "metrics are not served at this address")
	}
	s.opt.Metrics.ServeHTTP(w, r)
	return nil
}

// verifyTimeout is the longest time of a comparison with the store.
const verifyTimeout = 10 * time.Minute

// verification is the answer of POST /v1/verify.
type verification struct {
	Equal        bool       `json:"equal"`
	Milliseconds int64      `json:"milliseconds"`
	Collections  []verified `json:"collections"`
}

type verified struct {
	ID        string `json:"id"`
	Items     int    `json:"items"`
	Cells     int    `json:"cells"`
	Differing int    `json:"differing"`
	Missing   int    `json:"missing"`
	Extra     int    `json:"extra"`
	Different int    `json:"different"`
	Repaired  int    `json:"repaired"`
	Pending   int    `json:"pending"`
}

// postVerify compares every collection with the store and repairs what differs.
func (s *Server) postVerify(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), verifyTimeout)
	defer cancel()
	v, err := s.opt.Catalog.Verify(ctx)
	if err != nil {
		return err
	}
	out := verification{Equal: v.Mismatches() == 0, Milliseconds: roundUp(v.Took), Collections: make([]verified, len(v.Collections))}
	for i, c := range v.Collections {
		out.Collections[i] = verified{c.Name, c.Items, c.Cells, c.Differing, c.Missing, c.Extra, c.Different, c.Missing + c.Extra + c.Different - c.Unserved, c.Pending}
	}
	s.tell(w, v.At)
	return writeJSON(w, http.StatusOK, out)
}
