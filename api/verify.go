package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"nearby/collection"
	"nearby/parameter"
	"nearby/table"
)

// A request with verify=true is answered twice: as always, and by a scan of all items. The answer
// says so. If the two differ, the server has a defect, and answers with that problem.

// twice is what was answered twice for a request.
type twice struct {
	compared int // items that scans have looked at
}

// unverified are the parameters, and members of a body, whose answers no scan makes again.
var unverified = []string{"sortby", "weight", "facets"}

// verifies reads verify, for a request that asks for what a scan can make again.
func (p *parameters) verifies() (bool, error) {
	verify, err := p.boolean("verify")
	if err != nil || !verify {
		return false, err
	}
	for _, name := range unverified {
		if _, given := p.values.lookup(name); given {
			return false, notVerified(name)
		}
	}
	return true, nil
}

func notVerified(name string) error {
	return badParameter("verify", "true", "cannot be combined with "+name, "leave out one of the two")
}

// verifyOnly reads the parameters of a request whose question is in its body.
func verifyOnly(r *http.Request) (bool, error) {
	var p parameters
	if err := p.parse(r.URL.RawQuery, parameter.Batch, nil); err != nil {
		return false, err
	}
	return p.boolean("verify")
}

// verify returns a snapshot of the same version, whose answers are compared with those of scans before
// they are used. buf gets what was verified. The request must be a heavy one.
func (s *Server) verify(ctx context.Context, buf *buffer, snap *collection.Snapshot) *collection.Snapshot {
	v := new(twice)
	buf.verified = v
	end := time.Now().Add(s.opt.Limits.Timeout)
	pace := func() error {
		if ctx.Err() != nil || time.Now().After(end) {
			return newProblem(requestTimeout, fmt.Sprintf("verify was not finished in the %v that a request may take; a scan looks at each of the %d items", s.opt.Limits.Timeout, snap.Len()))
		}
		runtime.Gosched() // so that no light request waits for the whole scan
		return nil
	}
	return snap.Watched(func(a *table.Answer) error {
		if most := s.opt.Limits.MaxCompared; v.compared+snap.Len() > most {
			return badParameter("verify", "true", fmt.Sprintf("cannot be done: more than %d points would have to be compared", most), "")
		}
		n, err := a.Check(snap.Snapshot, pace)
		v.compared += n
		if differs, ok := errors.AsType[*table.DifferenceError](err); ok {
			s.opt.Log.ErrorContext(ctx, "an answer differs from that of a scan of the same items", "id", requestID(ctx),
				"collection", snap.Definition().Name, "version", snap.Seq(), "items", snap.Len(), "index", snap.Stats().Kind,
				"question", differs.Question, "difference", differs.First)
			return newProblem(answerDiffers, differs.First)
		}
		return err
	})
}

// appendVerified writes what was verified, if anything was.
func (buf *buffer) appendVerified(b []byte) []byte {
	if buf.verified == nil {
		return b
	}
	b = strconv.AppendInt(append(b, `,"verified":{"by":"scan","compared":`...), int64(buf.verified.compared), 10)
	return append(b, '}')
}
