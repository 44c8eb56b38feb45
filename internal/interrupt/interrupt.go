// Package interrupt opens and reads files until a context ends, also where the
// system lets neither be broken off: to open a named pipe waits for who writes it,
// and to read it, or a device, for what is written.
package interrupt

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Open opens a file to read until ctx ends.
func Open(ctx context.Context, name string) (io.ReadCloser, os.FileInfo, error) {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		return nil, nil, fmt.Errorf("%s is a folder", name)
	}
	if err == nil && !info.Mode().IsRegular() {
		return Reader(ctx, func() (io.ReadCloser, error) { return os.Open(name) }), info, nil
	}
	f, err := os.Open(name)
	return f, info, err
}

// Reader reads what open opens until ctx ends. A goroutine opens and reads it, and is
// left behind then.
func Reader(ctx context.Context, open func() (io.ReadCloser, error)) io.ReadCloser {
	r, w := io.Pipe()
	left := context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer left()
		f, err := open()
		if err == nil {
			_, err = io.Copy(w, f)
			_ = f.Close() // it was only read
		}
		w.CloseWithError(err) // nil: io.EOF
	}()
	return r
}
