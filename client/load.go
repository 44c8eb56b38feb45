package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Format is the format of the rows of a load, as a media type.
type Format string

// Formats of a load. Each may be gzipped.
const (
	CSV        Format = "text/csv"
	TSV        Format = "text/tab-separated-values"
	NDJSON     Format = "application/x-ndjson"
	GeoJSON    Format = "application/geo+json" // a FeatureCollection
	GeoJSONSeq Format = "application/geo+json-seq"
)

// Load inserts rows, or does to the item with a row's id what OnExisting says. Bad rows are in
// the report, and the others are loaded. The rows are sent as they are read, so there may be any
// number of them.
//
// If the load ends midway, the error is a [*Problem] whose Loaded counts what was written, or it is
// that of the connection or of rows. A load is sent again if the server says that nothing of it was
// written and that it may succeed later, or with [Repeatable]; and only if rows is an [io.Seeker],
// such as a file, or in memory. If the load ends while rows are waited for, that reading goes on
// until they come.
func (c *Collection) Load(ctx context.Context, format Format, rows io.Reader, opts ...RequestOption) (*LoadReport, error) {
	r := c.request(http.MethodPost, "/items", opts)
	r.header.Set("Content-Type", string(format))
	r.read(rows)
	a, err := c.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusCreated { // one Feature
		return &LoadReport{Created: 1}, nil
	}
	report := new(LoadReport)
	return report, a.decode(report)
}

// read makes rows the body of a request.
func (r *request) read(rows io.Reader) {
	switch v := rows.(type) { // what is in memory is copied, as by http.NewRequest
	case *bytes.Reader:
		r.open = func(context.Context) (io.Reader, error) { return new(*v), nil }
		return
	case *strings.Reader:
		r.open = func(context.Context) (io.Reader, error) { return new(*v), nil }
		return
	case *bytes.Buffer:
		r.open = func(context.Context) (io.Reader, error) { return bytes.NewReader(v.Bytes()), nil }
		return
	}
	seeker, _ := rows.(io.Seeker)
	begin := int64(0)
	if seeker != nil {
		var err error
		if begin, err = seeker.Seek(0, io.SeekCurrent); err != nil { // a pipe is a file that cannot seek
			seeker = nil
		}
	}
	if seeker == nil {
		r.open = func(ctx context.Context) (io.Reader, error) {
			r.spent = true
			return readAside(ctx, rows), nil
		}
		return
	}
	r.open = func(context.Context) (io.Reader, error) {
		_, err := seeker.Seek(begin, io.SeekStart)
		return &upload{r: rows}, err
	}
}

// aside is what is read of rows in a goroutine: http.Client waits for a reading that is under way
// before it ends a request. If rows still do not come then, the goroutine is left behind.
type aside struct {
	*io.PipeReader
	stop func() bool
}

func readAside(ctx context.Context, rows io.Reader) *aside {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, rows)
		w.CloseWithError(err) // nil: io.EOF
	}()
	return &aside{r, context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })}
}

func (a *aside) release() {
	a.stop()
	_ = a.PipeReader.CloseWithError(errReleased)
}

// upload is a body on its way. http.Client may go on reading it after the answer has come; what
// was released is not read any more.
type upload struct {
	r        io.Reader
	mu       sync.Mutex
	released bool
}

// Read is part of io.Reader.
func (u *upload) Read(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.released {
		return 0, errReleased
	}
	return u.r.Read(b)
}

var errReleased = errors.New("the request has ended")

// Close is part of io.Closer. What the caller gave stays open.
func (u *upload) Close() error { return nil }

// release ends the reading, after that which is under way.
func (u *upload) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.released = true
}
