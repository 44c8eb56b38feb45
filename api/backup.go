package api

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
)

const backupType = "application/vnd.nearby.backup"

// postBackup streams everything that the store has. The stream ends with a checksum. If the
// backup fails midway, the connection is closed.
func (s *Server) postBackup(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	if s.opt.Backup == nil {
		return newProblem(backupElsewhere, "")
	}
	if !s.backingUp.CompareAndSwap(false, true) {
		return newProblem(overloaded, "another backup is being made")
	}
	defer s.backingUp.Store(false)
	h := w.Header()
	h.Set("Content-Type", backupType)
	h.Set("Cache-Control", "no-store")
	counted := &begun{Writer: w}
	err := s.opt.Backup(r.Context(), counted)
	if err == nil || !counted.yes {
		return err
	}
	if r.Context().Err() == nil {
		s.opt.Log.ErrorContext(r.Context(), "a backup could not be finished", "id", requestID(r.Context()), "error", err)
	}
	panic(http.ErrAbortHandler) // so that the client sees that the answer is not complete
}

// begun is a writer that notes whether anything was written.
type begun struct {
	io.Writer
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.Writer.Write(p)
}

// local reports whether a request is from a program on this machine, and neither from a page in
// a browser nor passed on by a proxy. A proxy on this machine has a loopback address, too. It is
// recognised by the headers that it adds, by the Host of its callers, or by HTTP/1.0, which old
// versions of nginx speak by default.
func local(r *http.Request) bool {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(signsOfOthers, name) {
			return false
		}
	}
	if !r.ProtoAtLeast(1, 1) || !isLoopback(hostName(r.Host)) {
		return false
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && isLoopback(host)
}

// signsOfOthers are headers that pages and proxies send, beside those that begin with
// X-Forwarded-.
var signsOfOthers = []string{"Origin", "Sec-Fetch-Site", "Referer", headerForwarded, "Via", "X-Real-Ip"}
