package cql2

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTextAndJSONAreOne: a random filter is the same after it was written and read as text,
// and as JSON, and keeps the same items.
func TestTextAndJSONAreOne(t *testing.T) {
	f := &filters{Rand: rand.New(rand.NewPCG(3, 4))}
	for range 1000 {
		e := f.expr(3)
		text := e.String()
		read, err := parseText(text)
		if err != nil || read.String() != text {
			t.Fatalf("%s\nis read as %v, %v", text, read, err)
		}
		of, err := ParseJSON(jsonOf(e))
		if err != nil || of.String() != text {
			t.Fatalf("%s\nas JSON %s\nis read as %v, %v", text, jsonOf(e), of, err)
		}
		for range 3 {
			properties, lon, lat := f.item()
			want := Eval(e, []byte(properties), lon, lat)
			if a, b := Eval(read, []byte(properties), lon, lat), Eval(of, []byte(properties), lon, lat); a != want || b != want {
				t.Fatalf("%s\nof %s at %v %v is %v, as text %v, as JSON %v", text, properties, lon, lat, want, a, b)
			}
		}
	}
}

// TestTextErrors: where an error is, in characters, and what was expected there.
func TestTextErrors(t *testing.T) {
	deep := strings.Repeat("(", MaxDepth+1) + "a=1" + strings.Repeat(")", MaxDepth+1)
	for _, c := range []struct{ filter, want string }{
		{"", "column 1: expected a property, NOT, ( or S_INTERSECTS, found the end"},
		{"rating >", "column 9: expected a literal, found the end"},
		{"rating > AND", "column 10: expected a literal, found AND"},
		{"größe > 5 OR OR", "column 14: expected a property, NOT, ( or S_INTERSECTS, found OR"},
		{"rating 5", "column 8: expected AND, OR or the end, found 5"},
		{"5", "column 2: expected a comparison, found the end"},
		{"(a = 1", "column 7: expected ), found the end"},
		{"a = 1)", "column 6: expected AND, OR or the end, found )"},
		{"a = 'x", "column 5: expected ' to be closed, found the end"},
		{`a = 1 AND "b`, `column 11: expected " to be closed, found the end`},
		{"a = 'x\xff'", "column 5: expected UTF-8"},
		{"a = \xff", "column 5: expected UTF-8"},
		{"a NOT 5", "column 7: expected LIKE, BETWEEN or IN, found 5"},
		{"a IS 5", "column 6: expected NULL, found 5"},
		{"a BETWEEN 1 OR 2", "column 13: expected AND, found OR"},
		{"a BETWEEN 1 AND 'x'", "column 17: expected a number, like the first value, found 'x'"},
		{"a IN ()", "column 7: expected a literal, found )"},
		{"a IN (1 2)", "column 9: expected a comma or ), found 2"},
		{"a IN (1,'x')", "column 9: expected a number, like the first value, found 'x'"},
		{"a LIKE 5", "column 8: expected a string after LIKE, found 5"},
		{"a = b", "column 5: expected a literal, found the property b: a property is compared with literals only, and a string is in single quotes"},
		{"1 = 2", "column 1: expected a property before =, found 1"},
		{"CASEI(5) = 'a'", "column 7: expected a property or a string in CASEI, found 5"},
		{"a = DATE('2020-02-30')", `column 10: expected a date such as 2018-02-12, found "2020-02-30"`},
		{"a = TIMESTAMP('2020-02-03')", `column 15: expected a time such as 2018-02-12T23:20:50Z, found "2020-02-03"`},
		{"a = DATE(5)", "column 10: expected a string, found 5"},
		{"a = -", "column 6: expected a number, found the end"},
		{"a = .", "column 5: expected a number, found ."},
		{`a = 'C:\' AND b = 2`, "column 5: expected ' to be closed, found the end: a backslash before a quote makes it a part of the string; write \\\\ for a backslash"},
		{"a != 1", "column 3: expected AND, OR or the end, found !: unequal is written <>"},
		{"a == 1", "column 4: expected a literal, found =: equal is written with one ="},
		{"a = 1 && b = 2", "column 7: expected AND, OR or the end, found &: conditions are joined by AND and OR"},
		{"a = NULL", "column 5: expected a literal, found NULL: IS NULL finds what has no value"},
		{"a ILIKE 'x'", "column 3: expected AND, OR or the end, found ILIKE: CASEI(name) LIKE CASEI('b%') makes capitals and small letters equal"},
		{"a + 1 = 2", "column 3: expected AND, OR or the end, found +: there is no arithmetic"},
		{"avg(a) = 2", "column 1: expected a property, NOT, ( or S_INTERSECTS, found avg: there are no functions"},
		{"accenti(a) = 'b'", "column 1: expected a property, NOT, ( or S_INTERSECTS, found accenti: strings are compared with their accents"},
		{"T_AFTER(a, DATE('2020-01-01'))", "column 1: expected a property, NOT, ( or S_INTERSECTS, found T_AFTER: times are compared with =, <>, <, <=, >, >= and BETWEEN"},
		{"a = POINT(1 2)", "column 5: expected a literal, found POINT: a geometry stands in S_INTERSECTS only"},
		{"geometry = 'x'", "column 1: geometry is the position of an item: expected S_INTERSECTS(geometry, ...) or geometry IS NULL"},
		{"S_INTERSECTS(road, POINT(1 2))", "column 14: expected geometry, the position of an item, found the property road"},
		{"S_INTERSECTS(geometry, road)", "column 24: expected a geometry, found the property road"},
		{"S_INTERSECTS(POINT(1 2), POINT(1 2))", "column 26: expected geometry, the position of an item, in one of the two places"},
		{"S_INTERSECTS(geometry)", "column 22: expected a comma, found )"},
		{"S_INTERSECTS(geometry, POINT(90 180))", "column 33: expected a latitude from -90 to 90, found 180; the longitude comes first"},
		{"S_INTERSECTS(geometry, MULTIPOINT(7 49, 190 8))", "column 41: expected a longitude from -180 to 180, found 190"},
		{"S_INTERSECTS(geometry, POLYGON((0 0,1 0,1 1,0 1)))", "column 24: expected a geometry that is valid: ring 0 of polygon 0 is not closed: its last position has to be its first"},
		{"S_INTERSECTS(geometry, POLYGON((0 0,1 0,0 0)))", "column 24: expected a geometry that is valid: ring 0 of polygon 0 has less than four positions"},
		{"S_INTERSECTS(geometry, GEOMETRYCOLLECTION(POINT(0 0), MULTIPOLYGON(((0 0,1 0,1 1,0 0)), ((0 0,1 0,1 1,0 0), (0 0,1 0,1 1,0 1)))))", "column 24: expected a geometry that is valid: ring 1 of polygon 1 is not closed: its last position has to be its first"},
		{"S_INTERSECTS(geometry, LINESTRING(0 0))", "column 34: expected a line of at least 2 positions, found 1"},
		{"S_INTERSECTS(geometry, BBOX(0,5,1,4))", "column 24: expected a box: it must have -90 <= south <= north <= 90"},
		{"S_INTERSECTS(geometry, CIRCLE(0 5))", "column 24: expected geometry, or a POINT, LINESTRING, POLYGON, MULTIPOINT, MULTILINESTRING, MULTIPOLYGON, GEOMETRYCOLLECTION or BBOX, found CIRCLE: there are no functions"},
		{deep, "column 33: expected at most 32 levels of NOT and parentheses"},
		{strings.Repeat("NOT ", MaxDepth+1) + "a=1", "column 129: expected at most 32 levels of NOT and parentheses"},
		{strings.Repeat("a=1 AND ", MaxTerms) + "a=1", "column 2049: expected at most 256 predicates"},
		{"a LIKE '" + strings.Repeat("ä", MaxPattern+1) + "'", "column 8: expected at most 256 characters after LIKE"},
		{strings.Repeat(" ", MaxTextBytes) + "a", "column 1: expected at most 8192 bytes, found 8193"},
	} {
		e, err := ParseText(c.filter)
		if err == nil || err.Error() != c.want {
			t.Errorf("%.60s\nis %v, %v\nwant %s", c.filter, e, err, c.want)
		}
	}
}

// TestJSONErrors: where an error is, as a JSON Pointer, and what was expected there.
func TestJSONErrors(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat(`{"op":"not","args":[`, n) + "true" + strings.Repeat("]}", n)
	}
	for _, c := range []struct{ filter, want string }{
		{``, `expected JSON, found the end`},
		{`{"op":"="`, `expected JSON: unexpected EOF at byte 9`},
		{`true false`, `expected one JSON value, found more after it`},
		{`{"op":"=","op":"<"}`, `at /op: expected JSON: duplicate object member name at byte 10`},
		{`5`, `expected an operator such as {"op":"=","args":[…]}, true or false, found 5`},
		{`{"op":5,"args":[]}`, `at /op: expected the name of an operator, found 5`},
		{`{"op":"="}`, `expected a member "args", found {"op":"="}`},
		{`{"op":"=","args":{}}`, `at /args: expected an array, found {}`},
		{`{"op":"=","args":[{"property":"a"}]}`, `at /args: expected 2 arguments of =, found 1`},
		{`{"op":"and","args":[true]}`, `at /args: expected 2 or more arguments of and, found 1`},
		{`{"op":"not","args":[true,true]}`, `at /args: expected 1 argument of not, found 2`},
		{`{"op":"and","args":[true,{"op":"=","args":[{"property":"a"},{"property":"b"}]}]}`, `at /args/1/args/1: expected a literal, found the property b: a property is compared with literals only, and a string is in single quotes`},
		{`{"op":"=","args":[{"property":5},1]}`, `at /args/0/property: expected the name of a property, found 5`},
		{`{"op":"=","args":[{"property":"a"},null]}`, `at /args/1: expected a literal, or isNull as the operator, found null`},
		{`{"op":"=","args":[{"property":"a"},{"date":"today"}]}`, `at /args/1/date: expected a date such as 2018-02-12, found "today"`},
		{`{"op":"in","args":[{"property":"a"},[1,"b"]]}`, `at /args/1/1: expected a number, like the first value, found "b"`},
		{`{"op":"in","args":[{"property":"a"},[]]}`, `at /args/1: expected at least one literal, found []`},
		{`{"op":"in","args":[{"property":"a"},1]}`, `at /args/1: expected an array of literals, found 1`},
		{`{"op":"t_after","args":[{"property":"a"},{"date":"2020-01-01"}]}`, `at /op: expected a comparison, like, between, in, isNull, s_intersects, and, or or not, found t_after: times are compared with =, <>, <, <=, >, >= and BETWEEN`},
		{`{"op":"AND","args":[true,true]}`, `at /op: expected a comparison, like, between, in, isNull, s_intersects, and, or or not, found AND: capitals and small letters are different here`},
		{`{"op":"casei","args":[{"property":"a"}]}`, `at /op: expected a comparison, like, between, in, isNull, s_intersects, and, or or not, found casei: it stands on a side of a comparison`},
		{`{"op":"like","args":[{"property":"a"},"b"],"caseSensitive":false}`, `expected an object without a member "caseSensitive", found {"op":"like","args":[{"property":"a"},"b"],"caseSensitive":false}`},
		{`{"op":"=","args":[{"property":"a","unit":"m"},5]}`, `at /args/0: expected an object without a member "unit", found {"property":"a","unit":"m"}`},
		{`{"op":"=","args":[{"property":"a"},{"date":"2020-01-01","zone":"CET"}]}`, `at /args/1: expected an object without a member "zone", found {"date":"2020-01-01","zone":"CET"}`},
		{`{"op":"=","args":[{"op":"+","args":[1,2]},3]}`, `at /args/0/op: expected a property or a literal, found +: there is no arithmetic`},
		{`{"op":"s_intersects","args":[{"property":"geometry"},{"type":"Point","coordinates":[90,180]}]}`, `at /args/1/coordinates/1: expected a latitude from -90 to 90, found 180; the longitude comes first`},
		{`{"op":"s_intersects","args":[{"property":"geometry"},{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1]]]}]}`, `at /args/1: expected a geometry that is valid: ring 0 of polygon 0 is not closed: its last position has to be its first`},
		{`{"op":"s_intersects","args":[{"property":"geometry"},{"type":"Circle","coordinates":[1,2]}]}`, `at /args/1/type: expected Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon or GeometryCollection, found "Circle"`},
		{`{"op":"s_intersects","args":[{"property":"geometry"},{"type":"Point","coordinates":["1",2]}]}`, `at /args/1/coordinates/0: expected degrees, found "1"`},
		{`{"op":"s_intersects","args":[{"property":"geometry"},{"bbox":[1,2,3]}]}`, `at /args/1/bbox: expected a box: it must be four numbers: west,south,east,north`},
		{nested(MaxDepth + 1), `at ` + strings.Repeat("/args/0", 11) + "/ar…" + `: expected at most 32 levels of and, or and not`},
		{strings.Repeat(" ", MaxJSONBytes) + "true", `expected at most 65536 bytes, found 65540`},
	} {
		e, err := ParseJSON([]byte(c.filter))
		if err == nil || err.Error() != c.want {
			t.Errorf("%.80s\nis %v, %v\nwant %s", c.filter, e, err, c.want)
		}
	}
	if _, err := ParseJSON([]byte(nested(MaxDepth))); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
}

// TestNames: keywords are read in any case and as names in quotes; other words are names.
func TestNames(t *testing.T) {
	for _, c := range []struct{ filter, want string }{
		{`not a = 1 and b is not null or c Between 1 and 2`, "a <> 1 AND b IS NOT NULL OR c BETWEEN 1 AND 2"},
		{`Date = 1 AND point > 2`, `"Date" = 1 AND "point" > 2`},
		{`"and" = 1 AND "two words" = 2 AND "a""b" = 3 AND "" = 4`, `"and" = 1 AND "two words" = 2 AND "a""b" = 3 AND "" = 4`},
		{`eo:cloud_cover = 1 AND :a.b.c = 2 AND größe = 3`, `eo:cloud_cover = 1 AND :a.b.c = 2 AND größe = 3`},
		{"a\u00a0=\u2003'x'", `a = 'x'`},
		{`a = -.5 OR a = +5. OR a = 007.50E+1`, `a = -0.5 OR a = 5 OR a = 7.50E+1`},
		{`5 < a AND 'x' >= b AND true = c`, `a > 5 AND b <= 'x' AND c = TRUE`},
		{`open AND NOT closed`, `open = TRUE AND closed <> TRUE`},
		{`NOT NOT a = 1 AND NOT (NOT a = 1)`, `a = 1 AND a = 1`},
		{`a = 1 OR (b = 2 OR c = 3) AND (d = 4 AND e = 5)`, `a = 1 OR (b = 2 OR c = 3) AND d = 4 AND e = 5`},
		{`a = 'it''s' OR a = 'it\'s'`, `a = 'it''s' OR a = 'it''s'`},
		{`a LIKE '50\%' OR a LIKE '50\\%'`, `a LIKE '50\\%' OR a LIKE '50\\%'`},
		{`casei(casei(a)) = Casei('ΟΔΟΣ')`, `CASEI(a) = 'οδοσ'`},
		{`geometry IS NULL OR geometry IS NOT NULL`, `FALSE OR TRUE`},
		{`S_Intersects(point z (1 2 3), geometry)`, `S_INTERSECTS(geometry,POINT(1 2))`},
		{`S_INTERSECTS(geometry,BBOX(170,-10,0,190,10,9))`, `S_INTERSECTS(geometry,BBOX(170,-10,-170,10))`},
		{`S_INTERSECTS(geometry,MULTIPOINT(1 2,(3 4)))`, `S_INTERSECTS(geometry,MULTIPOINT((1 2),(3 4)))`},
	} {
		e, err := ParseText(c.filter)
		if err != nil || e.String() != c.want {
			t.Errorf("%s\nis %v, %v\nwant %s", c.filter, e, err, c.want)
		}
	}
	for _, word := range keywords {
		for _, word := range []string{word, strings.ToLower(word)} {
			text := fmt.Sprintf("%q = 1", word)
			if e, err := ParseText(text); err != nil || e.String() != text {
				t.Errorf("%s is %v, %v", text, e, err)
			}
		}
	}
}

// bounded tests what is promised of every filter that is read.
func bounded(t *testing.T, e Expr) {
	t.Helper()
	text := e.String()
	again, err := parseText(text)
	if err != nil || again.String() != text {
		t.Fatalf("%q is read as %v, %v", text, again, err)
	}
	terms := 0
	var walk func(e Expr, depth int)
	walk = func(e Expr, depth int) {
		if depth > 2*MaxDepth {
			t.Fatalf("%q is too deep", text)
		}
		var of []Expr
		switch e := e.(type) {
		case *And:
			of = e.Of
		case *Or:
			of = e.Of
		case *Not:
			of = []Expr{e.Of}
		default:
			terms++
		}
		for _, e := range of {
			walk(e, depth+1)
		}
	}
	walk(e, 0)
	if terms > MaxTerms {
		t.Fatalf("%d predicates", terms)
	}
	for _, properties := range []string{``, `{"a":1,"b":"x","name":"ab","open":true,"opened":"2020-01-01"}`} {
		if r := Eval(e, []byte(properties), 5, 5); r != Eval(again, []byte(properties), 5, 5) {
			t.Fatalf("%q keeps other items", text)
		}
	}
}

func FuzzParseText(f *testing.F) {
	random := &filters{Rand: rand.New(rand.NewPCG(5, 6))}
	for range 50 {
		f.Add(random.expr(2).String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseText(text)
		if err == nil {
			bounded(t, e)
			return
		}
		var at *Error
		if !errors.As(err, &at) || at.Column < 1 || at.Column > utf8.RuneCountInString(text)+1 {
			t.Fatalf("%q: the error %v is nowhere", text, err)
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	random := &filters{Rand: rand.New(rand.NewPCG(7, 8))}
	for range 50 {
		f.Add(jsonOf(random.expr(2)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := ParseJSON(body)
		if err == nil {
			if !json.Valid(body) {
				t.Fatalf("%q is no JSON", body)
			}
			bounded(t, e)
			return
		}
		var at *Error
		if !errors.As(err, &at) || at.Column != 0 {
			t.Fatalf("%q: the error %v has no pointer", body, err)
		}
	})
}
