package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"nearby/item"
	"nearby/parameter"
	"nearby/table"
)

// What each operation takes.
var (
	takesLanding = parameter.Of(parameter.Landing)
	takesView    = parameter.Of(parameter.View)
	takesItems   = parameter.Of(parameter.Items)
	takesNearby  = parameter.Of(parameter.Nearby)
	takesBatch   = parameter.Of(parameter.Batch)
	takesLoad    = parameter.Of(parameter.Load)
)

// query is a request's parameters, checked by the table.
type query struct {
	values arguments
	filter table.Filter
}

// parse reads the parameters. Names that are neither allowed nor queryable are
// errors, and so is one of ours given twice.
func (s *Server) parse(r *http.Request, allowed, queryables []string) (q query, err error) {
	return parseQuery(r.URL.RawQuery, allowed, queryables)
}

func parseQuery(raw string, allowed, queryables []string) (q query, err error) {
	if strings.Count(raw, "&") >= maxArguments {
		return q, unreadable(raw)
	}
	var refused error // the first; a query string that cannot be read comes before it
	for rest := raw; ; {
		a, after, more, valid := nextArgument(rest)
		if !valid {
			return q, unreadable(raw)
		}
		if !more {
			break
		}
		rest = after
		if refused == nil {
			refused = q.take(raw, a, allowed, queryables)
		}
	}
	if refused != nil {
		return q, refused
	}
	for _, a := range q.values.given[:q.values.n] {
		if may := parameter.Named(a.name).Values; may != nil && !slices.Contains(may, a.value) {
			return q, badParameter(a.name, a.value, "must be "+strings.Join(may, " or "), "")
		}
	}
	return q, nil
}

// take puts an argument where it belongs, or refuses it.
func (q *query) take(raw string, a argument, allowed, queryables []string) error {
	switch {
	case slices.Contains(allowed, a.name):
		if parameter.Named(a.name).Kind == parameter.List && q.values.extend(a) {
			return nil // as clients write a list that do not join it with commas
		}
		if _, twice := q.values.lookup(a.name); twice {
			all, _ := url.ParseQuery(raw) // what cannot be read is an error of its own
			return badParameter(a.name, strings.Join(all[a.name], ", "), "must be given once", "")
		}
		q.values.given[q.values.n] = a
		q.values.n++
	case slices.Contains(queryables, a.name):
		q.filter.Add(a.name, a.value)
	default:
		reason := "is not known here; allowed are " + strings.Join(allowed, ", ")
		if len(allowed) == 0 {
			reason = "is not known here; no parameters are allowed"
		}
		if len(queryables) > 0 {
			reason += ", and the queryable properties " + item.List(queryables)
		}
		return badParameter(item.Shorten(a.name), a.value, reason, cmp.Or(meant(a.name, allowed), filterMeant(a, queryables)))
	}
	return nil
}

// number reads a numeric parameter. ok is false if it was not given.
func (q *query) number(name string) (v float64, ok bool, err error) {
	value, ok := q.values.lookup(name)
	if !ok {
		return 0, false, nil
	}
	p := parameter.Named(name)
	v, valid := item.ParseNumber(value)
	if !valid || v < p.Min || (p.Max != 0 && v > p.Max) {
		hint := ""
		if name == "radius" && !valid {
			hint = inMetres(value)
		}
		return 0, true, badParameter(name, value, mustBe(p), hint)
	}
	return v, true, nil
}

// mustBe says which numbers a parameter takes.
func mustBe(p *parameter.Parameter) string {
	if p.Max == 0 {
		return fmt.Sprintf("must be a decimal number of at least %g", p.Min)
	}
	return fmt.Sprintf("must be a decimal number from %g to %g", p.Min, p.Max)
}

// integer reads a whole number from the row's minimum to most. Above that it is
// an error, or counts as most.
func (q *query) integer(name string, fallback, most int, clamp bool) (int, error) {
	value, ok := q.values.lookup(name)
	if !ok {
		return min(fallback, most), nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil && clamp && strings.Trim(value, "0123456789") == "" && value != "" {
		n, err = int64(most), nil
	}
	least := int64(parameter.Named(name).Min)
	if err != nil || value[0] == '+' || n < least || (!clamp && n > int64(most)) {
		return 0, badParameter(name, value, fmt.Sprintf("must be a whole number from %d to %d", least, most), "")
	}
	return int(min(n, int64(most))), nil
}

// centre reads lat and lon.
func (q *query) centre() (lon, lat float64, err error) {
	for _, name := range []string{"lat", "lon"} {
		if _, ok := q.values.lookup(name); !ok {
			return 0, 0, badParameter(name, "", "is missing: lat and lon are needed, in degrees", "")
		}
	}
	var valid bool
	if lat, valid = item.ParseNumber(q.values.Get("lat")); !valid {
		return 0, 0, badParameter("lat", q.values.Get("lat"), mustBe(parameter.Named("lat")), "")
	}
	if lon, valid = item.ParseNumber(q.values.Get("lon")); !valid {
		return 0, 0, badParameter("lon", q.values.Get("lon"), mustBe(parameter.Named("lon")), "")
	}
	if lon, err = item.CheckQuery(lon, lat); err != nil {
		var f *item.FieldError
		errors.As(err, &f)
		return 0, 0, badParameter(f.Field, q.values.Get(f.Field), f.Reason, f.Hint)
	}
	return lon, lat, nil
}

func (q *query) boolean(name string) (bool, error) {
	switch v, ok := q.values.lookup(name); {
	case !ok || v == "false":
		return false, nil
	case v == "true":
		return true, nil
	default:
		return false, badParameter(name, v, "must be true or false", "")
	}
}

// text reads a parameter that must not be empty when given.
func (q *query) text(name string, most int) (string, error) {
	v, ok := q.values.lookup(name)
	if ok && (v == "" || utf8.RuneCountInString(v) > most) {
		return "", badParameter(name, v, fmt.Sprintf("must have 1 to %d characters", most), "")
	}
	return q.values.Get(name), nil
}

// maxNames is how many properties a request may name.
const maxNames = 256

// names reads a list of property names; nil means all.
func (q *query) names() ([]string, error) {
	v, ok := q.values.lookup("properties")
	if !ok {
		return nil, nil
	}
	if v == "" {
		return []string{}, nil
	}
	names := strings.Split(v, ",")
	// By the standard a comma that is written %2C is one of a name; but many clients write
	// those between names so, too. Such a text names both.
	if raw := q.values.raw("properties"); len(raw) > len(v) && strings.Contains(v, ",") {
		for part := range strings.SplitSeq(raw, ",") {
			if name, err := url.QueryUnescape(part); err == nil && strings.Contains(name, ",") {
				names = append(names, name)
			}
		}
	}
	if len(names) > maxNames {
		return nil, badParameter("properties", v, fmt.Sprintf("must name at most %d properties", maxNames), "")
	}
	return names, nil
}

// datetime reads a point in time or an interval into the filter.
func (q *query) datetime() error {
	v, ok := q.values.lookup("datetime")
	if !ok {
		return nil
	}
	period, err := table.ParsePeriod(v)
	if err != nil {
		hint := ""
		if strings.Contains(v, " ") {
			hint = "a T stands between the date and the time; in a URL a plus sign is written %2B"
		}
		return badParameter("datetime", v, err.Error(), hint)
	}
	q.filter.During = &period
	return nil
}

// box reads a list of west, south, east, north.
func (q *query) box(name string) (b item.Box, ok bool, err error) {
	v, ok := q.values.lookup(name)
	if !ok {
		return b, false, nil
	}
	if b, err = item.ParseBox(v); err != nil {
		var f *item.FieldError
		errors.As(err, &f)
		return b, true, badParameter(name, v, f.Reason, f.Hint)
	}
	return b, true, nil
}
