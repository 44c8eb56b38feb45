package main

import (
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/api"
	"nearby/client"
	"nearby/item"
	"nearby/parameter"
)

type queryCmd struct {
	Lat        degrees  `arg:"" help:"Latitude in degrees, -90 to 90."`
	Lon        degrees  `arg:"" help:"Longitude in degrees, -540 to 540; 190 means -170."`
	Collection string   `required:"" short:"c" help:"Collection to search." placeholder:"NAME"`
	K          int      `name:"k" short:"k" default:"10" help:"Greatest number of items."`
	Radius     string   `help:"Only items within this distance: metres, or a number with a unit, such as 2.5km or 3mi." placeholder:"DISTANCE"`
	Where      []string `sep:"none" help:"Only items whose property has this value. May be repeated: an item must match every NAME, with one of its values." placeholder:"NAME=VALUE"`
	Properties []string `help:"Properties to show, in place of the property name." placeholder:"NAME"`
	Cursor     string   `help:"Continue where an earlier answer ended. That answer printed the value." placeholder:"CURSOR"`
	Server     string   `default:"http://127.0.0.1:8080" help:"URL of the server."`
	JSON       bool     `name:"json" help:"Print the GeoJSON that the server sent."`
}

// Help is shown below the flags.
func (queryCmd) Help() string {
	return `Prints the nearest items, nearest first. The last lines say within which radius the answer
is complete. If more than -k items lie within --radius, they also say how many, and how to
get the next ones.

Examples:

    nearby query 40.7484 -73.9857 --collection city
    nearby query -33.86 151.21 -c cities -k 3 --radius 50km --where country=AU
    nearby query 51.5072 -0.1276 -c cities --properties name,population,country
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
	return a.write(env.stdout, c)
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
		metres, ok := api.ParseDistance(c.Radius)
		if !ok {
			return params, nil, usagef("--radius %q: must be metres, such as 500, or have a unit, such as 500m, 2.5km or 3mi", c.Radius)
		}
		where.Set("radius", exactly(metres))
	}
	if c.Properties != nil {
		where.Set("properties", strings.Join(c.Properties, ","))
	}
	if c.Cursor != "" {
		where.Set("cursor", c.Cursor)
	}
	for _, w := range c.Where {
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return params, nil, usagef("--where %q: must be NAME=VALUE", w)
		}
		if slices.Contains(parameter.Of(parameter.Nearby), name) {
			return params, nil, usagef("--where %q: %s is a parameter of its own and no property", w, name)
		}
		where.Add(name, value)
	}
	return params, where, nil
}

func exactly(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

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
	NumberMatched *int64 `json:"numberMatched"`
	Complete      bool   `json:"complete"`
	Proof         struct {
		Exact    bool    `json:"exact"`
		Radius   float64 `json:"radius"`
		Entered  int     `json:"entered"`
		Compared int     `json:"compared"`
	} `json:"proof"`
	Links []struct {
		Rel  string `json:"rel"`
		Href string `json:"href"`
	} `json:"links"`
}

// write shows the answer to a command.
func (a *nearbyAnswer) write(w io.Writer, c *queryCmd) error {
	if len(a.Features) == 0 {
		fmt.Fprintln(w, "nothing found")
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		columns := []string{"name"}
		if c.Properties != nil {
			columns = columns[:0]
			for _, name := range c.Properties {
				columns = append(columns, printable(name))
			}
		}
		fmt.Fprintln(t, strings.Join(slices.Concat([]string{"#", "distance", "id"}, columns, []string{"lat", "lon"}), "\t"))
		for i, f := range a.Features {
			var lat, lon string
			if p := f.Geometry.Coordinates; len(p) >= 2 {
				lon, lat = strconv.FormatFloat(p[0], 'f', 6, 64), strconv.FormatFloat(p[1], 'f', 6, 64)
			}
			shown := []string{printable(nameOf(f.Properties))}
			if c.Properties != nil {
				shown = valuesOf(f.Properties, c.Properties)
			}
			fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", i+1, formatDistance(f.Distance), printable(text(f.ID)), strings.Join(shown, "\t"), lat, lon)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	word := "exact"
	if !a.Proof.Exact {
		word = "cut short"
	}
	_, err := fmt.Fprintf(w, "%s: complete within %s; cells or nodes entered: %s, points compared: %s\n", word,
		formatDistance(a.Proof.Radius), thousands(int64(a.Proof.Entered)), thousands(int64(a.Proof.Compared)))
	if next := a.cursor(); err == nil && next != "" && !a.Complete {
		_, err = fmt.Fprintf(w, "%s; the next ones: --cursor %s\n", a.part(c), oneLine(next))
	}
	return err
}

// part says how much of what was asked for is in the answer, where that is not all.
func (a *nearbyAnswer) part(c *queryCmd) string {
	s := thousands(int64(len(a.Features)))
	if c.Cursor != "" {
		s += " more"
	}
	if a.NumberMatched != nil {
		s += " of " + thousands(*a.NumberMatched)
	} else {
		s += ", and there are more"
	}
	if metres, ok := api.ParseDistance(c.Radius); ok {
		s += " within " + formatDistance(metres)
	}
	return s
}

// cursor returns where the answer goes on, or "".
func (a *nearbyAnswer) cursor() string {
	for _, l := range a.Links {
		if u, err := url.Parse(l.Href); err == nil && l.Rel == "next" {
			return u.Query().Get("cursor")
		}
	}
	return ""
}

// valuesOf returns the properties that are named, as they stand in a table.
func valuesOf(properties jsontext.Value, names []string) []string {
	var all map[string]jsontext.Value
	_ = json.Unmarshal(properties, &all) // what cannot be read has none
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = printable(text(all[name]))
	}
	return values
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
