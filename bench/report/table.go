package report

import (
	"bytes"
	"fmt"
	"strings"
)

// Table is a table. Its first two columns have words, the others figures.
type Table struct {
	Header []string
	Rows   [][]string
}

// Text writes the table aligned: words to the left, figures to the right.
func (t Table) Text(b *bytes.Buffer) {
	width := make([]int, len(t.Header))
	all := append([][]string{t.Header}, t.Rows...)
	for _, row := range all {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i >= 2 {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		fmt.Fprintln(b, strings.TrimRight(line.String(), " "))
	}
	fmt.Fprintln(b)
}

// Markdown writes the table for a page on the web.
func (t Table) Markdown(b *bytes.Buffer) {
	line := func(cells []string) {
		for _, c := range cells {
			fmt.Fprintf(b, "| %s ", strings.ReplaceAll(c, "|", `\|`))
		}
		fmt.Fprintln(b, "|")
	}
	line(t.Header)
	fmt.Fprintln(b, "| --- | --- |"+strings.Repeat(" ---: |", len(t.Header)-2))
	for _, row := range t.Rows {
		line(row)
	}
}
