package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"nearby/item"
)

const plainText = "text/plain; charset=utf-8"

// outcomeWords say what an outcome means.
var outcomeWords = map[outcome]string{
	"":              "The request was no write.",
	notMade:         "The write was not made.",
	mayHaveBeenMade: "The write may have been made.",
}

// appendText appends a row of the table as text for people.
func (c *causeRow) appendText(b []byte) []byte {
	words := strings.NewReplacer("`", "").Replace
	return fmt.Appendf(b, "%s%s\n%d %s\n\n%s\n%s\n%s\n", typeBase, c.name, c.status, c.title,
		words(c.meaning), outcomeWords[c.write], words(c.advice))
}

// listErrors answers with every type of problem.
func (s *Server) listErrors(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	var b []byte
	for i := range causes {
		if i > 0 {
			b = append(b, '\n')
		}
		b = causes[i].appendText(b)
	}
	return write(w, plainText, http.StatusOK, b)
}

// getError answers with one type of problem.
func (s *Server) getError(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	name, err := pathParam(r, "name")
	if err != nil {
		return err
	}
	i := slices.IndexFunc(causes[:], func(c causeRow) bool { return c.name == name })
	if i < 0 {
		return newProblem(pathNotFound, "there is no type of problem "+item.Shorten(name)+"; "+strings.TrimSuffix(typeBase, "/")+" lists them")
	}
	return write(w, plainText, http.StatusOK, causes[i].appendText(nil))
}
