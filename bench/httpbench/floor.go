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

// floor is the answer that the no-op handler sends.
type floor struct {
	ContentType string
	Body        []byte
}

// ServeFloor runs the no-op handler on a free port until in ends. It reads the answer to send from
// in, as JSON, and writes its base URL to out.
func ServeFloor(in io.Reader, out io.Writer) error {
	var f floor
	d := json.NewDecoder(in)
	if err := d.Decode(&f); err != nil {
		return fmt.Errorf("the answer to send: %w", err)
	}
	base, stop, err := f.serve()
	if err != nil {
		return err
	}
	defer stop()
	if _, err := fmt.Fprintln(out, base); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in) // an error ends the handler, too
	return nil
}

// serve starts the handler in this process.
func (f floor) serve() (base string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	router := chi.NewRouter()
	router.Get("/*", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", f.ContentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(f.Body)))
		_, _ = w.Write(f.Body) // the client notices an incomplete answer
	})
	server := &http.Server{Handler: router, ReadHeaderTimeout: 10 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(listener) })
	return "http://" + listener.Addr().String(), func() { _ = server.Close(); wg.Wait() }, nil
}

// startFloor starts the handler, in this process or in one of its own, as the options say.
func (o Options) startFloor(f floor) (base string, stop func(), err error) {
	if len(o.Floor) == 0 {
		return f.serve()
	}
	said, err := json.Marshal(f)
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(o.Floor[0], o.Floor[1:]...)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = in.Close(); _ = cmd.Wait() } // the process ends when its input ends
	_, err = in.Write(said)
	if err == nil {
		base, err = bufio.NewReader(io.LimitReader(out, 1<<10)).ReadString('\n')
	}
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("%s did not start: %w: %s", strings.Join(o.Floor, " "), err, trouble.String())
	}
	return strings.TrimSuffix(base, "\n"), stop, nil
}
