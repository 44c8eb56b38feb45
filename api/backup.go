package api

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Who may have a backup, which has what no other answer has: the keys of requests.
const (
	BackupLocal = "local" // programs on this machine
	BackupAny   = "any"   // whoever may use the interface
	BackupNone  = "none"
)

const backupType = "application/vnd.nearby.backup"

// postBackup streams everything that the store has. It ends in a checksum, and is cut
// off if it cannot be finished.
func (s *Server) postBackup(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, nil, nil); err != nil {
		return err
	}
	if s.opt.Backup == nil {
		return newProblem(backupElsewhere, "")
	}
	if s.opt.BackupFrom == BackupNone || s.opt.BackupFrom != BackupAny && !local(r) {
		return newProblem(backupNotAllowed, "")
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
	panic(http.ErrAbortHandler) // so that the client does not take it for whole
}

// begun notes whether anything was written.
type begun struct {
	io.Writer
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.Writer.Write(p)
}

// local reports whether a request is from a program on this machine: not from a page in a
// browser, and not passed on by a proxy. A proxy on this machine is as near as a program; it is
// told by what it adds, or by the Host of its callers, or since it speaks HTTP/1.0, as nginx did
// unless told otherwise.
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

// signsOfOthers are headers of pages and of proxies, beside X-Forwarded-For and its like.
var signsOfOthers = []string{"Origin", "Sec-Fetch-Site", "Referer", headerForwarded, "Via", "X-Real-Ip"}
