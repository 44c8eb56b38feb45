package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var page string

// Page is a report as an HTML page.
type Page struct {
	Title, Subject   string // Subject ends the title of the window
	Verdict, Caption string
	Figures          []Figure
	Tables           []Table
	Sections         []Section
}

// Section is a part of a page, such as about one data set.
type Section struct {
	Title, Verdict string
	Figures        []Figure
	Caption        string // of the tables
	Tables         []Table
}

// Figure is a drawing with what to see in it.
type Figure struct {
	SVG     template.HTML
	Caption string
}

// Write writes the page. It needs no other file and no network.
func (p Page) Write(w io.Writer) error {
	tmpl, err := template.New("report").Funcs(template.FuncMap{"words": func(i int) bool { return i < 2 }}).Parse(page)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}
