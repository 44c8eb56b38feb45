package api

import (
	"strconv"
	"strings"
)

// preference is an element of Accept or Accept-Encoding: something that a client accepts, and
// its weight.
type preference struct {
	name   string  // in lower case
	weight float64 // 0: not accepted
}

// preferences reads the lines of Accept or Accept-Encoding (RFC 9110, section 12.4.2).
func preferences(lines []string) []preference {
	elements := elementsOf(lines)
	all := make([]preference, len(elements))
	for i, element := range elements {
		name, parameters, _ := strings.Cut(element, ";")
		all[i] = preference{strings.ToLower(strings.TrimSpace(name)), weight(parameters)}
	}
	return all
}

// weight returns the q among the parameters of an element; 1 if there is none.
func weight(parameters string) float64 {
	q := 1.0
	for p := range strings.SplitSeq(parameters, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "q") {
			if v, err := strconv.ParseFloat(value, 64); err == nil && v >= 0 {
				q = v
			}
		}
	}
	return q
}

// prefersYAML reports whether the lines of Accept prefer YAML to JSON (RFC 9110, section
// 12.5.1). If both have the same weight, the one that is named first counts.
func prefersYAML(accept []string) bool {
	best, yaml := 0.0, false
	for _, p := range preferences(accept) {
		if p.weight > best && (isYAML(p.name) || isJSON(p.name)) {
			best, yaml = p.weight, isYAML(p.name)
		}
	}
	return yaml
}

// isYAML reports whether a media type is YAML (RFC 9512), by its name or an older one.
func isYAML(mediaType string) bool {
	switch mediaType {
	case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml":
		return true
	}
	return strings.HasSuffix(mediaType, "+yaml")
}

// isJSON reports whether a media type, or a range of them, includes JSON.
func isJSON(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/*", "*/*", "*":
		return true
	}
	return strings.HasSuffix(mediaType, "+json")
}

// oneName joins the lines of Accept-Encoding into one, with gzip in place of its older name
// x-gzip (RFC 9110, section 8.4.1.3).
func oneName(lines []string) []string {
	const gzip, old = "gzip", "x-gzip"
	if len(lines) == 1 && !strings.Contains(strings.ToLower(lines[0]), old) {
		return lines
	}
	elements := elementsOf(lines)
	for i, element := range elements {
		if name, _, _ := strings.Cut(element, ";"); strings.EqualFold(strings.TrimSpace(name), old) {
			elements[i] = gzip + element[len(name):]
		}
	}
	return []string{strings.Join(elements, ", ")}
}

// codings reads Accept-Encoding (RFC 9110, section 12.5.3). plain reports whether the client
// accepts an answer without compression. If not, packed is the encoding to use; "": the client
// accepts none that the server has.
func codings(accepted []string) (plain bool, packed string) {
	if len(accepted) == 1 && !strings.Contains(accepted[0], ";") { // nothing is refused
		return true, ""
	}
	weights := map[string]float64{}
	for _, p := range preferences(accepted) {
		weights[p.name] = p.weight
	}
	of := func(coding string, unsaid float64) float64 {
		for _, name := range []string{coding, "*"} {
			if q, ok := weights[name]; ok {
				return q
			}
		}
		return unsaid
	}
	gzip, zstd := of("gzip", 0), of("zstd", 0)
	switch {
	case of("identity", 1) > 0:
		return true, ""
	case zstd > gzip:
		return false, "zstd"
	case gzip > 0:
		return false, "gzip"
	}
	return false, ""
}
