package api

import (
	"fmt"
	"net/url"
	"strings"

	"nearby/parameter"
)

// argument is one parameter as a request gives it, decoded; raw is its value before that.
type argument struct{ name, value, raw string }

// arguments are those of a request that are named in the table of parameters. A
// request gives few and each once, so they lie in a row: a map of lists, as
// url.ParseQuery makes, costs more than everything else that is done with them.
type arguments struct {
	given [len(parameter.Table)]argument
	n     int
}

// lookup returns the value of a parameter, and whether it was given.
func (a *arguments) lookup(name string) (value string, ok bool) {
	for i := range a.given[:a.n] {
		if a.given[i].name == name {
			return a.given[i].value, true
		}
	}
	return "", false
}

// extend adds a value to that of a list, and reports whether there was one.
func (a *arguments) extend(more argument) bool {
	for i := range a.given[:a.n] {
		if g := &a.given[i]; g.name == more.name {
			g.value, g.raw = g.value+","+more.value, g.raw+","+more.raw
			return true
		}
	}
	return false
}

// raw returns the value of a parameter as it was written.
func (a *arguments) raw(name string) string {
	for i := range a.given[:a.n] {
		if a.given[i].name == name {
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

// nextArgument reads the first argument of a query string, by the rules of
// url.ParseQuery, and returns what follows it. more is false at the end, and valid
// is false where an argument cannot be read.
func nextArgument(query string) (a argument, rest string, more, valid bool) {
	for query != "" {
		var part string
		if part, query, _ = strings.Cut(query, "&"); part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		var errName, errValue error
		a.name, errName = url.QueryUnescape(name)
		a.value, errValue = url.QueryUnescape(value)
		a.raw = value
		return a, query, true, errName == nil && errValue == nil && !strings.Contains(part, ";")
	}
	return a, "", false, true
}

// unreadable refuses a query string that has too many arguments, or one that
// cannot be read. What is wrong is found and worded by url.ParseQuery.
func unreadable(raw string) error {
	reason := fmt.Sprintf("it has more than %d parameters", maxArguments)
	if _, err := url.ParseQuery(raw); err != nil {
		reason = err.Error()
	}
	return newProblem(malformedQuery, "the query string cannot be read: "+reason)
}
