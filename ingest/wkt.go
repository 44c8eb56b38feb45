package ingest

import (
	"strings"

	"nearby/item"
)

// parseWKT reads a point in well-known text: POINT (lon lat), with or without
// heights and the prefix SRID=4326; of PostGIS. A third or fourth number is
// dropped.
func parseWKT(s string) (lon, lat float64, err error) {
	fail := func(reason string) (float64, float64, error) {
		return 0, 0, &item.FieldError{Field: "geometry", Got: item.Shorten(s), Reason: reason}
	}
	rest := strings.TrimSpace(s)
	if rest == "" {
		return fail("is empty, expected POINT (lon lat)")
	}
	if srid, after, ok := strings.Cut(rest, ";"); ok && hasPrefixFold(srid, "SRID=") {
		if strings.TrimSpace(srid[len("SRID="):]) != "4326" {
			return fail("must be in degrees, SRID 4326")
		}
		rest = strings.TrimSpace(after)
	}
	if !hasPrefixFold(rest, "POINT") {
		return fail("must be a point in well-known text, POINT (lon lat)")
	}
	rest = strings.TrimSpace(rest[len("POINT"):])
	for _, dims := range []string{"ZM", "Z", "M"} {
		if hasPrefixFold(rest, dims) {
			rest = strings.TrimSpace(rest[len(dims):])
			break
		}
	}
	if len(rest) < 2 || rest[0] != '(' || rest[len(rest)-1] != ')' {
		return fail("must be written POINT (lon lat)")
	}
	numbers := strings.Fields(rest[1 : len(rest)-1])
	if len(numbers) < 2 || len(numbers) > 4 {
		return fail("must be written POINT (lon lat)")
	}
	for _, height := range numbers[2:] {
		if _, ok := item.ParseNumber(height); !ok {
			return fail("must hold decimal numbers")
		}
	}
	return item.ParsePosition(numbers[0], numbers[1])
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
