package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// openFile opens a file to read until ctx ends. To open a named pipe waits for who
// writes it, and to read it, or a device, for what is written.
func openFile(ctx context.Context, name string) (io.ReadCloser, os.FileInfo, error) {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		return nil, nil, fmt.Errorf("%s is a folder", name)
	}
	if err == nil && !info.Mode().IsRegular() {
		return aside(ctx, func() (io.ReadCloser, error) { return os.Open(name) }), info, nil
	}
	f, err := os.Open(name)
	return f, info, err
}

// aside reads what open opens until ctx ends. The system may let neither opening nor
// reading be broken off, so both are done by a goroutine, which is left behind then.
func aside(ctx context.Context, open func() (io.ReadCloser, error)) io.ReadCloser {
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
