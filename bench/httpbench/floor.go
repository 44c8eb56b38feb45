package httpbench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
)

// floor is what the handler that does nothing sends.
type floor struct {
	ContentType string
	Body        []byte
}

// ServeFloor runs the handler that does nothing, on a port of its own, until in
// ends. What it sends is the first thing that in says; out is told its address.
func ServeFloor(in io.Reader, out io.Writer) error {
	var f floor
	d := json.NewDecoder(in)
	if err := d.Decode(&f); err != nil {
		return fmt.Errorf("httpbench: what to send: %w", err)
	}
	base, stop, err := f.serve()
	if err != nil {
		return err
	}
	defer stop()
	if _, err := fmt.Fprintln(out, base); err != nil {
		return fmt.Errorf("httpbench: %w", err)
	}
	_, _ = io.Copy(io.Discard, in) // however it ends, it is the end
	return nil
}

// serve starts the handler in this process.
func (f floor) serve() (base string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("httpbench: %w", err)
	}
	router := chi.NewRouter()
	router.Get("/*", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", f.ContentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(f.Body)))
		_, _ = w.Write(f.Body) // the client sees a broken answer itself
	})
	server := &http.Server{Handler: router, ReadHeaderTimeout: 10 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(listener) })
	return "http://" + listener.Addr().String(), func() { _ = server.Close(); wg.Wait() }, nil
}

// startFloor starts the handler where the options say.
func (o Options) startFloor(f floor) (base string, stop func(), err error) {
	if len(o.Floor) == 0 {
		return f.serve()
	}
	said, err := json.Marshal(f)
	if err != nil {
		return "", nil, fmt.Errorf("httpbench: %w", err)
	}
	cmd := exec.Command(o.Floor[0], o.Floor[1:]...)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, fmt.Errorf("httpbench: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, fmt.Errorf("httpbench: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("httpbench: %w", err)
	}
	stop = func() { _ = in.Close(); _ = cmd.Wait() } // the end of its input is its end
	_, err = in.Write(said)
	if err == nil {
		base, err = bufio.NewReader(io.LimitReader(out, 1<<10)).ReadString('\n')
	}
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("httpbench: %s did not start: %w: %s", strings.Join(o.Floor, " "), err, trouble.String())
	}
	return strings.TrimSuffix(base, "\n"), stop, nil
}
