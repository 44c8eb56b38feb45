package api

import (
	"fmt"
	"slices"
	"strings"

	"nearby/item"
)

// otherNames are what other servers and files call what is a parameter here.
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

// joined takes out what words of a name are joined by.
var joined = strings.NewReplacer("-", "", "_", "")

// meant says which of the names that are allowed may be meant by one that is not, or
// "" if that cannot be told.
func meant(name string, allowed []string) string {
	name = strings.ToLower(name)
	for _, a := range allowed {
		if joined.Replace(strings.ToLower(a)) == joined.Replace(name) { // on-error of the command line is onError
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

// inMetres says how a radius is written that is not a number.
func inMetres(radius string) string {
	text := strings.ToLower(strings.TrimSpace(radius))
	for _, unit := range []struct {
		name   string
		metres float64
	}{{"km", 1000}, {"mi", 1609.344}, {"m", 1}} {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		if v, ok := item.ParseNumber(strings.TrimSpace(number)); ok && v >= 0 {
			return fmt.Sprintf("in metres, without a unit: %.12g", v*unit.metres)
		}
	}
	return "in metres, without a unit"
}
