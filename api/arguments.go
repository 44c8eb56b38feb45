package api

import (
	"fmt"
	"net/url"
	"strings"

	"nearby/parameter"
)

// argument is one parameter of a request: its row in parameter.Table, its value, decoded, and the
// value as it was written.
type argument struct {
	row        int
	value, raw string
}

// name returns the name of the parameter.
func (a *argument) name() string { return parameter.Table[a.row].Name }

// arguments are the parameters of a request that the table of parameters names. A request has
// few of them, so an array is enough. A map of lists, as url.ParseQuery makes one, would cost
// more than all other work on the parameters.
type arguments struct {
	given [len(parameter.Table)]argument
	n     int
}

// lookup returns the value of a parameter, and whether it was given.
func (a *arguments) lookup(name string) (value string, ok bool) {
	for i := range a.given[:a.n] {
		if a.given[i].name() == name {
			return a.given[i].value, true
		}
	}
	return "", false
}

// add adds a parameter that was not given before.
func (a *arguments) add(row int, value, raw string) {
	a.given[a.n] = argument{row: row, value: value, raw: raw}
	a.n++
}

// set is add for a parameter that does not come from a query string.
func (a *arguments) set(name, value string) { a.add(parameter.Find(name), value, value) }

// reset forgets all parameters.
func (a *arguments) reset() {
	clear(a.given[:a.n])
	a.n = 0
}

// extend appends a value to the list that the request has already given under this name. It
// reports whether there is such a list.
func (a *arguments) extend(row int, value, raw string) bool {
	for i := range a.given[:a.n] {
		if g := &a.given[i]; g.row == row {
			g.value, g.raw = g.value+","+value, g.raw+","+raw
			return true
		}
	}
	return false
}

// raw returns the value of a parameter as it was written.
func (a *arguments) raw(name string) string {
	for i := range a.given[:a.n] {
		if a.given[i].name() == name {
			return a.given[i].raw
		}
	}
	return ""
}

// Get returns the value of a parameter, or "".
func (a *arguments) Get(name string) string {
	value, _ := a.lookup(name)
	return value
}

// maxArguments is how many parts a query string may have, as in url.ParseQuery.
const maxArguments = 10_000

// nextArgument reads the first argument of a query string, by the rules of url.ParseQuery: its
// name and value, decoded, and the value as it was written. It returns the rest of the string
// too. more is false if there is no argument. valid is false if the argument cannot be read.
func nextArgument(query string) (name, value, raw, rest string, more, valid bool) {
	for query != "" {
		var part string
		if part, query, _ = strings.Cut(query, "&"); part == "" {
			continue
		}
		name, raw, _ = strings.Cut(part, "=")
		var errName, errValue error
		name, errName = url.QueryUnescape(name)
		value, errValue = url.QueryUnescape(raw)
		return name, value, raw, query, true, errName == nil && errValue == nil && !strings.Contains(part, ";")
	}
	return "", "", "", "", false, true
}

// unreadable returns the problem of a query string that has too many arguments or cannot be
// read. The words are those of url.ParseQuery.
func unreadable(raw string) error {
	reason := fmt.Sprintf("it has more than %d parameters", maxArguments)
	if _, err := url.ParseQuery(raw); err != nil {
		reason = err.Error()
	}
	return newProblem(malformedQuery, "the query string cannot be read: "+reason)
}
