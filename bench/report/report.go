// Package report writes what a measurement has found: as text for a terminal, as
// JSON, as Markdown, and as an HTML page with plots that needs no other file and
// no network. It has the parts that all reports share: how a figure is written,
// tables, plots in one style, the page, and how the figures were made. What is
// to be said of them, each kind of report says itself.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Report is what a measurement has found, in each form.
type Report interface {
	WriteText(io.Writer) error
	WriteHTML(io.Writer) error
	WriteJSON(io.Writer) error
	WriteMarkdown(io.Writer) error
}

// Save writes the files of a report, whose names are base and an extension each.
// It returns those names.
func Save(base string, r Report) (names []string, err error) {
	for _, f := range []struct {
		extension string
		write     func(io.Writer) error
	}{{".html", r.WriteHTML}, {".json", r.WriteJSON}, {".md", r.WriteMarkdown}} {
		name := base + f.extension
		file, err := os.Create(name)
		if err != nil {
			return names, fmt.Errorf("report: %w", err)
		}
		if err := errors.Join(f.write(file), file.Close()); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

// WriteJSON writes all figures of a report.
func WriteJSON(w io.Writer, r any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}
