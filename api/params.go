package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"nearby/cql2"
	"nearby/item"
	"nearby/parameter"
	"nearby/table"
	"nearby/value"
)

// parameters are those of a request, checked by the table.
type parameters struct {
	values arguments
	filter table.Filter
	place  digest // of the position of the item that near names
}

// reset forgets all parameters.
func (p *parameters) reset() {
	p.values.reset()
	p.filter, p.place = table.Filter{}, 0
}

// parse reads the parameters of a request of an operation; 0 takes none. A name that the
// operation does not take, and that is not queryable, is an error. So is a parameter that is
// given twice, unless it is a list. p must be empty: it is too large to be returned.
func (p *parameters) parse(raw string, of parameter.Operation, queryables value.Queryables) error {
	if strings.Count(raw, "&") >= maxArguments {
		return unreadable(raw)
	}
	var refused error // the first one; if the query string cannot be read, that error comes first
	for rest := raw; ; {
		name, text, written, after, more, valid := nextArgument(rest)
		if !valid {
			return unreadable(raw)
		}
		if !more {
			break
		}
		rest = after
		if refused == nil {
			refused = p.take(raw, name, text, written, of, queryables)
		}
	}
	if refused != nil {
		return refused
	}
	for i := range p.values.given[:p.values.n] {
		a := &p.values.given[i]
		row := &parameter.Table[a.row]
		if row.Values != nil && !slices.Contains(row.Values, a.value) && !slices.Contains(row.Unlisted, a.value) {
			return badParameter(row.Name, a.value, "must be "+strings.Join(row.Values, " or "), "")
		}
	}
	return nil
}

// checkParameters reads the parameters of a request of an operation whose handler needs none of
// their values.
func checkParameters(r *http.Request, of parameter.Operation) error {
	return new(parameters).parse(r.URL.RawQuery, of, nil)
}

// take adds an argument to the values or to the filter, or refuses it. raw is the query string,
// and written the value as it is there.
func (p *parameters) take(raw, name, text, written string, of parameter.Operation, queryables value.Queryables) error {
	if row := of.Find(name); row >= 0 {
		if parameter.Table[row].Kind == parameter.List && p.values.extend(row, text, written) {
			return nil // some clients give the values of a list one by one
		}
		if _, twice := p.values.lookup(name); twice {
			all, _ := url.ParseQuery(raw) // the caller reports an error of it
			return badParameter(name, strings.Join(all[name], ", "), "must be given once", "")
		}
		p.values.add(row, text, written)
		return nil
	}
	switch at := queryables.Index(name); {
	case at >= 0:
		if _, err := value.Parse(queryables[at].Type, text); err != nil {
			reason, hint := mismatch(err)
			return badParameter(item.Shorten(name), text, reason, hint)
		}
		p.filter.Add(name, text)
	default:
		allowed := parameter.Of(of)
		reason := "is not known here; allowed are " + strings.Join(allowed, ", ")
		if len(allowed) == 0 {
			reason = "is not known here; no parameters are allowed"
		}
		if len(queryables) > 0 {
			reason += ", and the queryable properties " + item.List(queryables.Names())
		}
		return badParameter(item.Shorten(name), text, reason, cmp.Or(meant(name, allowed), filterMeant(name, text, queryables.Names())))
	}
	return nil
}

// mismatch says what a text of a filter must be that is no value of its queryable's type.
func mismatch(err error) (reason, hint string) {
	var f *item.FieldError
	errors.As(err, &f)
	return f.Reason, "the collection declares that type of the property"
}

// cannotBeRead begins what is wrong with a filter in CQL2; where, and what was expected there,
// follows.
const cannotBeRead = "cannot be read: "

// limit has filters in CQL2 stop with the request, or after the time that it may take: a few
// predicates on long texts, of many items, can take any time.
func (s *Server) limit(ctx context.Context, filters ...*table.Filter) {
	for _, f := range filters {
		if f.Matches() {
			end := time.Now().Add(s.opt.Limits.Timeout)
			f.StopWhen(func() bool { return ctx.Err() != nil || time.Now().After(end) })
		}
	}
}

// expression reads a filter in CQL2 into the filter.
func (p *parameters) expression(queryables value.Queryables) error {
	text, ok := p.values.lookup("filter")
	if !ok {
		for _, name := range []string{"filter-lang", "filter-crs"} {
			if v, given := p.values.lookup(name); given && v != parameter.Named(name).Default {
				return badParameter(name, v, "is for a filter, which is missing", "")
			}
		}
		return nil
	}
	read := cql2.ParseText
	if p.values.Get("filter-lang") == "cql2-json" {
		read = func(text string) (cql2.Expr, error) { return cql2.ParseJSON([]byte(text)) }
	}
	e, err := read(text)
	if err == nil {
		e, err = cql2.Check(e, queryables.All())
	}
	if err != nil {
		return badParameter("filter", item.Shorten(text), cannotBeRead+err.Error(), "")
	}
	p.filter.Match(e)
	return nil
}

// number reads a numeric parameter. ok is false if it was not given.
func (p *parameters) number(name string) (v float64, ok bool, err error) {
	value, ok := p.values.lookup(name)
	if !ok {
		return 0, false, nil
	}
	row := parameter.Named(name)
	v, valid := item.ParseNumber(value)
	if !valid || v < row.Min || (row.Max != 0 && v > row.Max) {
		hint := ""
		if strings.HasSuffix(name, "radius") && !valid {
			hint = inMetres(value)
		}
		return 0, true, badParameter(name, value, mustBe(row), hint)
	}
	return v, true, nil
}

// mustBe returns the reason of a fault: which numbers the parameter takes.
func mustBe(row *parameter.Parameter) string {
	if row.Max == 0 {
		return fmt.Sprintf("must be a decimal number of at least %g", row.Min)
	}
	return fmt.Sprintf("must be a decimal number from %g to %g", row.Min, row.Max)
}

// integer reads a whole number from the minimum in the table to most. A greater one counts as
// most if clamp is set, and is an error otherwise. If the parameter was not given, the result is
// fallback, but at most most.
func (p *parameters) integer(name string, fallback, most int, clamp bool) (int, error) {
	value, ok := p.values.lookup(name)
	if !ok {
		return min(fallback, most), nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil && clamp && strings.Trim(value, "0123456789") == "" && value != "" {
		n, err = int64(most), nil
	}
	least := int64(parameter.Named(name).Min)
	if err != nil || value[0] == '+' || value[0] == '-' || n < least || (!clamp && n > int64(most)) {
		return 0, badParameter(name, value, fmt.Sprintf("must be a whole number from %d to %d", least, most), "")
	}
	return int(min(n, int64(most))), nil
}

// centre reads lat and lon.
func (p *parameters) centre() (lon, lat float64, err error) {
	var place [2]float64
	for i, name := range [2]string{"lat", "lon"} {
		text, ok := p.values.lookup(name)
		if !ok {
			return 0, 0, badParameter(name, "", "is missing: lat and lon are needed, in degrees, or near, the id of an item", "")
		}
		if place[i], ok = item.ParseNumber(text); !ok {
			return 0, 0, badParameter(name, text, mustBe(parameter.Named(name)), "")
		}
	}
	lat, lon = place[0], place[1]
	if lon, err = item.CheckQuery(lon, lat); err != nil {
		var f *item.FieldError
		errors.As(err, &f)
		return 0, 0, badParameter(f.Field, p.values.Get(f.Field), f.Reason, f.Hint)
	}
	return lon, lat, nil
}

func (p *parameters) boolean(name string) (bool, error) {
	switch v, ok := p.values.lookup(name); {
	case !ok || v == "false":
		return false, nil
	case v == "true":
		return true, nil
	default:
		return false, badParameter(name, v, "must be true or false", "")
	}
}

// text reads a parameter of 1 to most characters; "": it was not given.
func (p *parameters) text(name string, most int) (string, error) {
	v, ok := p.values.lookup(name)
	if ok && (v == "" || utf8.RuneCountInString(v) > most) {
		return "", badParameter(name, v, fmt.Sprintf("must have 1 to %d characters", most), "")
	}
	return p.values.Get(name), nil
}

// maxNames is how many properties a request may name.
const maxNames = 256

// names reads a list of property names; nil means all.
func (p *parameters) names() ([]string, error) {
	v, ok := p.values.lookup("properties")
	if !ok {
		return nil, nil
	}
	if v == "" {
		return []string{}, nil
	}
	names := strings.Split(v, ",")
	// By the standard, %2C is a comma in a name. But many clients also write %2C between names.
	// So such a text counts as the whole name and as its parts.
	if raw := p.values.raw("properties"); len(raw) > len(v) && strings.Contains(v, ",") {
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
func (p *parameters) datetime() error {
	v, ok := p.values.lookup("datetime")
	if !ok {
		return nil
	}
	period, err := table.ParsePeriod(v)
	if err != nil {
		hint := ""
		if strings.Contains(v, " ") {
			hint = "write a T between the date and the time; in a URL, write a plus sign as %2B"
		}
		return badParameter("datetime", v, err.Error(), hint)
	}
	p.filter.During = &period
	return nil
}

// box reads a list of west, south, east, north.
func (p *parameters) box(name string) (b item.Box, ok bool, err error) {
	v, ok := p.values.lookup(name)
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
