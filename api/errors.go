package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"nearby/item"
)

const plainText = "text/plain; charset=utf-8"

// What an outcome means, for people.
var outcomeWords = map[outcome]string{
	"":              "The request was no write.",
	notMade:         "The write was not made.",
	mayHaveBeenMade: "The write may have been made.",
}

// appendText appends what the table says of a cause, for people.
func (c *causeRow) appendText(b []byte) []byte {
	words := strings.NewReplacer("`", "").Replace
	return fmt.Appendf(b, "%s%s\n%d %s\n\n%s\n%s\n%s\n", typeBase, c.name, c.status, c.title,
		words(c.meaning), outcomeWords[c.write], words(c.advice))
}

// listErrors shows every type of problem.
func (s *Server) listErrors(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, nil, nil); err != nil {
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

// getError shows one.
func (s *Server) getError(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, nil, nil); err != nil {
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
