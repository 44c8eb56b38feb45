package api

import (
	"fmt"
	"slices"
	"strings"

	"nearby/item"
)

// otherNames are the names of parameters, with the names that other servers and files use for
// the same thing.
var otherNames = []struct {
	name  string
	other []string
}{
	{"lat", []string{"latitude", "y"}},
	{"lon", []string{"lng", "long", "longitude", "x"}},
	{"k", []string{"limit", "count", "n", "max", "top"}},
	{"limit", []string{"k", "count", "n", "max", "size", "pagesize", "page_size"}},
	{"radius", []string{"r", "distance", "dist", "maxdistance", "max_distance", "within"}},
	{"expectBbox", []string{"bbox", "bounds", "expect", "extent"}},
	{"bbox", []string{"bounds", "box", "extent", "viewport"}},
	{"cursor", []string{"after", "next", "offset", "page", "token"}},
	{"properties", []string{"fields", "select", "attributes"}},
	{"datetime", []string{"date", "time"}},
	{"f", []string{"format"}},
}

// joined removes the hyphens and underscores of a name.
var joined = strings.NewReplacer("-", "", "_", "")

// meant returns a hint at the allowed name that the caller may have meant by a name that is not
// allowed; "": there is none.
func meant(name string, allowed []string) string {
	name = strings.ToLower(name)
	for _, a := range allowed {
		if joined.Replace(strings.ToLower(a)) == joined.Replace(name) { // on-error, as in the flag --on-error, is onError
			return a + " may be meant"
		}
	}
	for _, o := range otherNames {
		if slices.Contains(o.other, name) && slices.Contains(allowed, o.name) {
			return o.name + " may be meant"
		}
	}
	return ""
}

// ParseDistance reads a distance and returns it in metres. Its unit is m, km or mi, in any case;
// without a unit it is in metres.
func ParseDistance(text string) (metres float64, ok bool) {
	number, factor := strings.ToLower(strings.TrimSpace(text)), 1.0
	for _, unit := range []struct {
		name   string
		metres float64
	}{{"km", 1000}, {"mi", 1609.344}, {"m", 1}} {
		if n, has := strings.CutSuffix(number, unit.name); has {
			number, factor = strings.TrimSpace(n), unit.metres
			break
		}
	}
	v, ok := item.ParseNumber(number)
	return v * factor, ok && v >= 0
}

// inMetres returns a hint at how to write a radius that was no number.
func inMetres(radius string) string {
	if metres, ok := ParseDistance(radius); ok {
		return fmt.Sprintf("in metres, without a unit: %.12g", metres)
	}
	return "in metres, without a unit"
}

// filterMeant returns a hint at how to write a filter if a parameter is named where, as on the
// command line and on other servers; "": there is none.
func filterMeant(name, text string, queryables []string) string {
	if strings.ToLower(name) != "where" || len(queryables) == 0 {
		return ""
	}
	name, value, _ := strings.Cut(text, "=")
	if name = strings.TrimSpace(name); slices.Contains(queryables, name) {
		return item.Shorten(name+"="+strings.Trim(value, ` '"`)) + " may be meant"
	}
	return "a filter is a parameter with the name of a property, such as " + item.Shorten(queryables[0]) + "=VALUE"
}
