package main

import (
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/client"
	"nearby/item"
)

type queryCmd struct {
	Lat        degrees  `arg:"" help:"Latitude in degrees, -90 to 90."`
	Lon        degrees  `arg:"" help:"Longitude in degrees, -180 to 180."`
	Collection string   `required:"" short:"c" help:"Collection to ask." placeholder:"NAME"`
	K          int      `name:"k" short:"k" default:"10" help:"How many places at most."`
	Radius     string   `help:"Only places within this distance: metres, or with a unit, as in 2.5km." placeholder:"DISTANCE"`
	Where      []string `sep:"none" help:"Only places whose property has this value. May be repeated: \"or\" for one name, \"and\" between names." placeholder:"NAME=VALUE"`
	Server     string   `default:"http://127.0.0.1:8080" help:"URL of the server."`
	JSON       bool     `name:"json" help:"Print the server's GeoJSON as it came."`
}

// Help is shown below the flags.
func (queryCmd) Help() string {
	return `Prints the nearest places in order, and below them the radius within which the
answer is proved to be complete.

Examples:

    nearby query 40.7484 -73.9857 --collection city
    nearby query -33.86 151.21 -c cities -k 3 --radius 50km --where country=AU
    nearby query 64.15 -21.94 -c cities --json | jq '.features[].id'`
}

// degrees is a number on the command line, strictly decimal.
type degrees float64

func (d *degrees) UnmarshalText(text []byte) error {
	s := strings.Replace(string(text), minus, "-", 1)
	v, ok := item.ParseNumber(s)
	if !ok {
		return fmt.Errorf("%q is not a decimal number of degrees", s)
	}
	*d = degrees(v)
	return nil
}

func (c *queryCmd) Run(env *environ) error {
	params, where, err := c.parameters()
	if err != nil {
		return err
	}
	r, err := newRemote(c.Server)
	if err != nil {
		return err
	}
	data, err := r.nearby(env.ctx, c.Collection, params, where)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintf(env.stdout, "%s\n", strings.TrimRight(string(data), "\n"))
		return err
	}
	var a nearbyAnswer
	if err := json.Unmarshal(data, &a); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", r.base, err)
	}
	return a.write(env.stdout)
}

// parameters checks the flags and makes the request's.
func (c *queryCmd) parameters() (params client.GetNearbyParams, where url.Values, err error) {
	if _, err := item.CheckQuery(float64(c.Lon), float64(c.Lat)); err != nil {
		return params, nil, &usageError{err.Error()}
	}
	if c.K < 1 {
		return params, nil, usagef("-k %d: must be at least 1", c.K)
	}
	params = client.GetNearbyParams{Lat: client.Lat(c.Lat), Lon: client.Lon(c.Lon), K: &c.K}
	// The generated numbers have fewer digits than the ones typed.
	where = url.Values{"lat": {exactly(float64(c.Lat))}, "lon": {exactly(float64(c.Lon))}}
	if c.Radius != "" {
		metres, err := parseDistance(c.Radius)
		if err != nil {
			return params, nil, err
		}
		where.Set("radius", exactly(metres))
	}
	for _, w := range c.Where {
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return params, nil, usagef("--where %q: must be NAME=VALUE", w)
		}
		if reserved[name] {
			return params, nil, usagef("--where %q: %s is a parameter of its own and no property", w, name)
		}
		where.Add(name, value)
	}
	return params, where, nil
}

func exactly(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// reserved are the parameters that --where must not reach.
var reserved = map[string]bool{
	"lat": true, "lon": true, "k": true, "radius": true, "cursor": true, "properties": true,
	"distance_property": true, "id_property": true, "explain": true, "f": true,
}

// parseDistance reads metres, or a number with the unit m or km.
func parseDistance(s string) (metres float64, err error) {
	number, factor := s, 1.0
	if n, ok := strings.CutSuffix(s, "km"); ok {
		number, factor = n, 1000
	} else if n, ok := strings.CutSuffix(s, "m"); ok {
		number = n
	}
	v, ok := item.ParseNumber(strings.TrimSpace(number))
	if !ok || v < 0 {
		return 0, usagef("--radius %q: must be metres, such as 500, 500m or 2.5km", s)
	}
	return v * factor, nil
}

// nearbyAnswer is what is shown of the server's answer.
type nearbyAnswer struct {
	Features []struct {
		ID       jsontext.Value `json:"id"`
		Distance float64        `json:"distance"`
		Geometry struct {
			Coordinates []float64 `json:"coordinates"`
		} `json:"geometry"`
		Properties jsontext.Value `json:"properties"`
	} `json:"features"`
	Proof struct {
		Exact    bool    `json:"exact"`
		Radius   float64 `json:"radius"`
		Entered  int     `json:"entered"`
		Compared int     `json:"compared"`
	} `json:"proof"`
}

func (a *nearbyAnswer) write(w io.Writer) error {
	if len(a.Features) == 0 {
		fmt.Fprintln(w, "nothing found")
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "#\tdistance\tid\tname\tlat\tlon")
		for i, f := range a.Features {
			var lat, lon string
			if p := f.Geometry.Coordinates; len(p) >= 2 {
				lon, lat = strconv.FormatFloat(p[0], 'f', 6, 64), strconv.FormatFloat(p[1], 'f', 6, 64)
			}
			fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", i+1, formatDistance(f.Distance), printable(text(f.ID)), printable(nameOf(f.Properties)), lat, lon)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	word := "exact"
	if !a.Proof.Exact {
		word = "cut short"
	}
	_, err := fmt.Fprintf(w, "%s: complete within %s; %s cells or nodes entered, %s points compared\n", word,
		formatDistance(a.Proof.Radius), thousands(int64(a.Proof.Entered)), thousands(int64(a.Proof.Compared)))
	return err
}

// formatDistance writes metres as people read them.
func formatDistance(metres float64) string {
	switch {
	case metres < 9.9995:
		return fmt.Sprintf("%.3f m", metres)
	case metres < 999.5:
		return fmt.Sprintf("%.0f m", metres)
	case metres < 99_950:
		return fmt.Sprintf("%.2f km", metres/1000)
	default:
		return thousands(int64(math.Round(metres/1000))) + " km"
	}
}

// text is a JSON string's text, or any other value as it is written.
func text(v jsontext.Value) string {
	if v.Kind() == '"' {
		if b, err := jsontext.AppendUnquote(nil, v); err == nil {
			return string(b)
		}
	}
	return string(v)
}

// nameOf is the property that a person would call the place by: name or title,
// in any case, else the first one that holds text.
func nameOf(properties jsontext.Value) string {
	d := jsontext.NewDecoder(strings.NewReader(string(properties)))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' {
		return ""
	}
	first := ""
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			break
		}
		name := strings.ToLower(key.String())
		value, err := d.ReadValue()
		if err != nil {
			break
		}
		if value.Kind() != '"' {
			continue
		}
		switch s := text(value); {
		case name == "name" || name == "title":
			return s
		case first == "":
			first = s
		}
	}
	return first
}

// printable keeps a value from the data on one line of a table, and short.
func printable(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return oneLine(s)
}
