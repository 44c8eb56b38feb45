package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/api"
	"nearby/client"
	"nearby/internal/command"
	"nearby/internal/terminal"
	"nearby/item"
	"nearby/parameter"
)

type queryCmd struct {
	Lat        *degrees `arg:"" optional:"" help:"Latitude in degrees, -90 to 90."`
	Lon        *degrees `arg:"" optional:"" help:"Longitude in degrees, -540 to 540; 190 means -170."`
	Near       string   `help:"Search around this item, in place of LAT and LON, and leave it out." placeholder:"ID"`
	Collection string   `required:"" short:"c" help:"Collection to search." placeholder:"NAME"`
	K          *int     `name:"k" short:"k" help:"Greatest number of items. Left out, it is 10. 0: count them only." placeholder:"10"`
	Radius     string   `help:"Only items within this distance: metres, or a number with a unit, such as 2.5km or 3mi." placeholder:"DISTANCE"`
	MinRadius  string   `help:"Only items at least this far away, in the form of --radius." placeholder:"DISTANCE"`
	AtLeast    int      `help:"If fewer items are within --radius, show this many nearest ones." placeholder:"N"`
	Intersects string   `help:"Only items in polygons or on their borders: a file with GeoJSON or well-known text, or POLYGON((LON LAT, …)) itself. Without LAT and LON, and without --near, all of these are shown." placeholder:"FILE|WKT"`
	Per        string   `help:"Show the -k nearest items of each value of this property." placeholder:"NAME"`
	Facets     []string `help:"Count the items that match by the values of a property, or by steps of numbers, such as rating:1. May be repeated." placeholder:"NAME"`
	Rings      []string `help:"Count the items within each of these distances, in the form of --radius." placeholder:"DISTANCE"`
	Where      []string `sep:"none" help:"Only items whose property has this value. May be repeated: an item must match every NAME, with one of its values." placeholder:"NAME=VALUE"`
	Filter     string   `help:"Only items that match a filter in CQL2, such as \"rating >= 4 AND name LIKE 'B%'\"." placeholder:"CQL2"`
	SortBy     []string `help:"Order the items by a property, or by distance; -NAME is the descending order. May be repeated: a later one counts where the earlier ones are equal. Write --sort-by=-NAME." placeholder:"NAME"`
	Weight     []string `help:"Order the items by a score: the distance, less METRES for each unit of this number. May be repeated." placeholder:"NAME:METRES"`
	Datetime   string   `help:"Only items whose time is in this interval, such as 2026-01-01/.., or one time or date." placeholder:"INTERVAL"`
	Properties []string `help:"Properties to show, in place of the property name." placeholder:"NAME"`
	Cursor     string   `help:"Continue where an earlier answer ended. That answer printed the value." placeholder:"CURSOR"`
	Server     string   `default:"http://127.0.0.1:8080" help:"URL of the server."`
	Verify     bool     `help:"Have the server answer by a scan of all items, too, and compare. Takes longer if there are many items."`
	Trust      trust    `embed:""`
	Key        keyFlags `embed:""`
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
    nearby query 41.9 12.5 -c cities --filter "population BETWEEN 10000 AND 50000 AND country IN ('IT', 'VA')"
    nearby query 48.86 2.35 -c cities --radius 300km --sort-by=-population
    nearby query 48.86 2.35 -c cities --weight population:0.1
    nearby query 51.5072 -0.1276 -c cities --properties name,population,country
    nearby query --near cafe-1 -c cities
    nearby query 47.37 8.54 -c cities -k 5 --intersects lake.geojson
    nearby query -c cities --intersects "POLYGON((5 46, 11 46, 11 48, 5 48, 5 46))"
    nearby query 48.86 2.35 -c cities -k 0 --facets country,population:100000 --rings 10km,50km,100km
    nearby query 47.37 8.54 -c cities --radius 20km --verify
    nearby query 64.15 -21.94 -c cities --json | jq '.features[].id'`
}

// listAtOnce is how many items are asked for at a time where all are shown.
const listAtOnce = 1000

// degrees is a number on the command line, strictly decimal.
type degrees float64

func (d *degrees) UnmarshalText(text []byte) error {
	v, ok := item.ParseNumber(string(text))
	if !ok {
		return fmt.Errorf("%q is not a decimal number of degrees", text)
	}
	*d = degrees(v)
	return nil
}

func (c *queryCmd) Run(env *command.Environ) error {
	opts, err := c.options()
	if err != nil {
		return err
	}
	r, err := c.Trust.remote(c.Server, c.Key)
	if err != nil {
		return err
	}
	filter, err := c.filter(env.Ctx, r)
	if err != nil {
		return err
	}
	opts = append(opts, filter...)
	if c.centreless() {
		return r.explain(c.list(env, r.Collection(c.Collection), opts))
	}
	page, err := c.ask(env.Ctx, r.Collection(c.Collection), opts)
	if err != nil {
		return r.explain(err)
	}
	if c.JSON {
		_, err := fmt.Fprintf(env.Stdout, "%s\n", strings.TrimRight(string(page.GeoJSON), "\n"))
		return err
	}
	return c.write(env.Stdout, page)
}

// ask searches around a place or an item.
func (c *queryCmd) ask(ctx context.Context, in *client.Collection, opts []client.RequestOption) (*client.NearbyPage, error) {
	if c.Near != "" {
		return in.NearItem(ctx, c.Near, opts...)
	}
	return in.Nearby(ctx, float64(*c.Lat), float64(*c.Lon), opts...)
}

// centreless reports whether the query is for all items in polygons.
func (c *queryCmd) centreless() bool {
	return c.Intersects != "" && c.Near == "" && c.Lat == nil
}

// list shows all items in the polygons, page by page.
func (c *queryCmd) list(env *command.Environ, in *client.Collection, opts []client.RequestOption) error {
	n, compared, facets := 0, 0, map[string]client.Facet(nil)
	for page, err := range in.ItemPages(env.Ctx, opts...) {
		if err != nil {
			return err
		}
		if c.JSON {
			_, err = fmt.Fprintf(env.Stdout, "%s\n", strings.TrimRight(string(page.GeoJSON), "\n"))
		} else if len(page.Items) > 0 {
			err = c.table(env.Stdout, n, len(page.Items), "", func(i int) (client.Item, string) { return page.Items[i], "" })
		}
		if err != nil {
			return err
		}
		if n += len(page.Items); page.Facets != nil {
			facets = page.Facets
		}
		compared += page.Verified
	}
	if c.JSON {
		return nil
	}
	if n == 0 {
		fmt.Fprintln(env.Stdout, "nothing found")
	} else {
		fmt.Fprintf(env.Stdout, "%s in all\n", terminal.Thousands(int64(n)))
	}
	if err := c.writeCounts(env.Stdout, &client.NearbyPage{Facets: facets}); err != nil {
		return err
	}
	return c.writeVerified(env.Stdout, compared)
}

// writeVerified says what was verified, if that was asked for. An answer that is not right is an error
// before.
func (c *queryCmd) writeVerified(w io.Writer, compared int) error {
	if !c.Verify {
		return nil
	}
	_, err := fmt.Fprintf(w, "verified: a scan gives the same answer; items compared: %s\n", terminal.Thousands(int64(compared)))
	return err
}

// onlyFrom refuses the flags that need a place to search from.
func (c *queryCmd) onlyFrom() error {
	for _, f := range []struct {
		flag  string
		given bool
	}{{"-k", c.K != nil}, {"--radius", c.Radius != ""}, {"--min-radius", c.MinRadius != ""}, {"--at-least", c.AtLeast != 0}, {"--per", c.Per != ""}, {"--rings", c.Rings != nil}, {"--weight", c.Weight != nil}} {
		if f.given {
			return command.Usagef("%s needs LAT and LON, or --near", f.flag)
		}
	}
	return nil
}

// options checks the flags and makes the request's.
func (c *queryCmd) options() (opts []client.RequestOption, err error) {
	switch {
	case c.centreless():
		if err := c.onlyFrom(); err != nil {
			return nil, err
		}
		opts = append(opts, client.Limit(listAtOnce))
	case c.Near != "" && c.Lat != nil:
		return nil, command.Usagef("--near is in place of LAT and LON")
	case c.Near == "" && (c.Lat == nil || c.Lon == nil):
		return nil, command.Usagef("give LAT and LON, or --near, or --intersects")
	case c.Near == "":
		if _, err := item.CheckQuery(float64(*c.Lon), float64(*c.Lat)); err != nil {
			return nil, command.Usagef("%v", err)
		}
	}
	if c.K != nil {
		if *c.K < 0 {
			return nil, command.Usagef("-k %d: must be at least 0", *c.K)
		}
		opts = append(opts, client.K(*c.K))
	} else if !c.centreless() {
		opts = append(opts, client.K(parameter.DefaultK))
	}
	if c.Intersects != "" {
		wkt, err := polygonsOf("--intersects", c.Intersects)
		if err != nil {
			return nil, err
		}
		opts = append(opts, client.Intersects(wkt))
	}
	if c.Radius != "" {
		metres, err := distance("--radius", c.Radius)
		if err != nil {
			return nil, err
		}
		opts = append(opts, client.Radius(metres))
	}
	if c.MinRadius != "" {
		metres, err := distance("--min-radius", c.MinRadius)
		if err != nil {
			return nil, err
		}
		opts = append(opts, client.MinRadius(metres))
	}
	if c.AtLeast != 0 {
		opts = append(opts, client.AtLeast(c.AtLeast))
	}
	if c.Per != "" {
		opts = append(opts, client.Per(c.Per))
	}
	if c.Facets != nil {
		opts = append(opts, client.Facets(c.Facets...))
	}
	if c.Rings != nil {
		rings := make([]float64, len(c.Rings))
		for i, text := range c.Rings {
			if rings[i], err = distance("--rings", text); err != nil {
				return nil, err
			}
		}
		opts = append(opts, client.Rings(rings...))
	}
	if c.Filter != "" {
		opts = append(opts, client.Filter(c.Filter))
	}
	if c.SortBy != nil {
		opts = append(opts, client.SortBy(c.SortBy...))
	}
	if c.Weight != nil {
		opts = append(opts, client.Parameter("weight", strings.Join(c.Weight, ",")))
	}
	if c.Datetime != "" {
		opts = append(opts, client.Datetime(c.Datetime))
	}
	if c.Properties != nil {
		opts = append(opts, client.Fields(c.Properties...))
	}
	if c.Verify {
		opts = append(opts, client.Verify())
	}
	if c.Cursor != "" {
		opts = append(opts, client.Cursor(c.Cursor))
	}
	return opts, nil
}

// distance reads the value of a flag in metres.
func distance(flag, text string) (metres float64, err error) {
	metres, ok := api.ParseDistance(text)
	if !ok {
		return 0, command.Usagef("%s %q: must be metres, such as 500, or have a unit, such as 500m, 2.5km or 3mi", flag, text)
	}
	return metres, nil
}

// filter makes the request's options of --where. A name may have an equals sign: where there
// are several, the collection's queryables say which one ends it.
func (c *queryCmd) filter(ctx context.Context, r *remote) (opts []client.RequestOption, err error) {
	var queryables []string
	if slices.ContainsFunc(c.Where, func(w string) bool { return strings.Count(w, "=") > 1 }) {
		d, err := r.Collection(c.Collection).Describe(ctx)
		if err != nil {
			return nil, r.explain(err)
		}
		queryables = d.Queryables.Names()
	}
	for _, w := range c.Where {
		name, value := splitWhere(w, queryables)
		if name == "" {
			return nil, command.Usagef("--where %q: must be NAME=VALUE", w)
		}
		if slices.Contains(parameter.Of(parameter.Nearby), name) {
			return nil, command.Usagef("--where %q: %s is a parameter of its own and no property", w, name)
		}
		opts = append(opts, client.Where(name, value))
	}
	return opts, nil
}

// splitWhere cuts NAME=VALUE at the first equals sign before which a queryable stands, or else
// at the first one. name is empty if there is none.
func splitWhere(where string, queryables []string) (name, value string) {
	for i := range len(where) {
		if where[i] == '=' && slices.Contains(queryables, where[:i]) {
			return where[:i], where[i+1:]
		}
	}
	if name, value, ok := strings.Cut(where, "="); ok {
		return name, value
	}
	return "", ""
}

// write shows an answer.
func (c *queryCmd) write(w io.Writer, a *client.NearbyPage) error {
	if !c.countsOnly() {
		if err := c.writeHits(w, a); err != nil {
			return err
		}
	}
	if err := c.writeCounts(w, a); err != nil {
		return err
	}
	return c.writeVerified(w, a.Verified)
}

// countsOnly reports whether no items are asked for.
func (c *queryCmd) countsOnly() bool { return c.K != nil && *c.K == 0 }

// writeCounts shows what was counted, if anything was.
func (c *queryCmd) writeCounts(w io.Writer, a *client.NearbyPage) error {
	if a.Matched != nil && (c.countsOnly() || a.Facets != nil) {
		fmt.Fprintf(w, "items that match: %s\n", terminal.Thousands(int64(*a.Matched)))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what string, n int) { fmt.Fprintf(t, "%s\t%s\n", printable(what), terminal.Thousands(int64(n))) }
	for _, asked := range c.Facets {
		name := asked
		f, ok := a.Facets[name]
		if colon := strings.LastIndexByte(asked, ':'); !ok && colon >= 0 {
			name = asked[:colon]
			f, ok = a.Facets[name]
		}
		if !ok { // a later page has no counts
			continue
		}
		fmt.Fprintf(t, "%s\titems\n", printable(name))
		for _, v := range f.Values {
			line(shownValue(v.Value), v.Count)
		}
		for _, s := range f.Steps {
			line(shownValue(s.From)+" to below "+shownValue(s.Below), s.Count)
		}
		if f.Others > 0 {
			line("(others)", f.Others)
		}
		if f.Without > 0 {
			line("(without)", f.Without)
		}
	}
	for i, r := range a.Rings {
		if i == 0 {
			fmt.Fprintf(t, "within\titems\n")
		}
		line(formatDistance(r.Radius), r.Count)
	}
	return t.Flush()
}

// shownValue is a string, a number or a boolean as text.
func shownValue(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// writeHits shows the items of an answer.
func (c *queryCmd) writeHits(w io.Writer, a *client.NearbyPage) error {
	if len(a.Hits) == 0 {
		fmt.Fprintln(w, "nothing found")
	} else {
		err := c.table(w, 0, len(a.Hits), "distance", func(i int) (client.Item, string) {
			return a.Hits[i].Item, formatDistance(a.Hits[i].Distance)
		})
		if err != nil {
			return err
		}
	}
	word := "exact"
	if !a.Proof.Exact {
		word = "cut short"
	}
	within := "within " + formatDistance(a.Proof.Radius)
	if c.Weight != nil {
		within = fmt.Sprintf("below the score %.0f m", a.Proof.Score)
	}
	_, err := fmt.Fprintf(w, "%s: complete %s; cells or nodes entered: %s, points compared: %s\n", word,
		within, terminal.Thousands(int64(a.Proof.Entered)), terminal.Thousands(int64(a.Proof.Compared)))
	if err == nil && a.Next != "" && !a.Complete {
		_, err = fmt.Fprintf(w, "%s; the next ones: --cursor %s\n", c.part(a), terminal.OneLine(a.Next))
	}
	return err
}

// table shows n items, with what item tells of each. column is the name of that; "": it tells nothing.
// The first item has the number from+1. Without one before it, the table begins with the names.
func (c *queryCmd) table(w io.Writer, from, n int, column string, item func(i int) (client.Item, string)) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	columns := []string{"#"}
	if column != "" {
		columns = append(columns, column)
	}
	if columns = append(columns, "id"); c.Properties == nil {
		columns = append(columns, "name")
	}
	for _, name := range c.Properties {
		columns = append(columns, printable(name))
	}
	if from == 0 {
		fmt.Fprintln(t, strings.Join(append(columns, "lat", "lon"), "\t"))
	}
	for i := range n {
		it, told := item(i)
		row := []string{strconv.Itoa(from + i + 1)}
		if column != "" {
			row = append(row, told)
		}
		if row = append(row, printable(it.ID)); c.Properties == nil {
			row = append(row, printable(nameOf(it.Properties)))
		} else {
			row = append(row, valuesOf(it.Properties, c.Properties)...)
		}
		row = append(row, strconv.FormatFloat(it.Lat, 'f', 6, 64), strconv.FormatFloat(it.Lon, 'f', 6, 64))
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// part says how much of what was asked for is in the answer, where that is not all.
func (c *queryCmd) part(a *client.NearbyPage) string {
	s := terminal.Thousands(int64(len(a.Hits)))
	if c.Cursor != "" {
		s += " more"
	}
	if a.Matched != nil {
		s += " of " + terminal.Thousands(int64(*a.Matched))
	} else {
		s += ", and there are more"
	}
	if metres, ok := api.ParseDistance(c.Radius); ok {
		s += " within " + formatDistance(metres)
	}
	return s
}

// valuesOf returns the properties that are named, as they stand in a table.
func valuesOf(properties []byte, names []string) []string {
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
		return terminal.Thousands(int64(math.Round(metres/1000))) + " km"
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
func nameOf(properties []byte) string {
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
	return terminal.OneLine(s)
}
