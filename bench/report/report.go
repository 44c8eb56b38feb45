// Package report writes the result of a measurement as text for a terminal, as JSON, as Markdown, and
// as an HTML page with plots. The page needs no other file and no network. The package has the parts
// that all reports share: how a number is written, tables, plots in one style, the page, and how the
// figures were made. Each kind of report adds its own texts.
package report

import (
	"encoding/json"
	"errors"
	"io"
	"os"
)

// Report is the result of a measurement. It can be written in each format.
type Report interface {
	WriteText(io.Writer) error
	WriteHTML(io.Writer) error
	WriteJSON(io.Writer) error
	WriteMarkdown(io.Writer) error
}

// Save writes the files of a report. Their names are base and the extensions .html, .json and .md. It
// returns the names of the files that it has written.
func Save(base string, r Report) (names []string, err error) {
	for _, f := range []struct {
		extension string
		write     func(io.Writer) error
	}{{".html", r.WriteHTML}, {".json", r.WriteJSON}, {".md", r.WriteMarkdown}} {
		name := base + f.extension
		file, err := os.Create(name)
		if err != nil {
			return names, err
		}
		if err := errors.Join(f.write(file), file.Close()); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

// WriteJSON writes a report as JSON.
func WriteJSON(w io.Writer, r any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}
