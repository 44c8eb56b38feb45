// Package cql2 reads filters in the Common Query Language of OGC 21-065r2, as text and as
// JSON, and says which items they keep. It knows the properties and the position of one
// item at a time, and nothing of columns and indexes.
//
// Of the standard it has the classes Basic CQL2, Advanced Comparison Operators,
// Case-insensitive Comparison, and Basic Spatial Functions with additional Spatial Literals,
// in CQL2 Text and CQL2 JSON. The only geometry is the position of an item, which a filter
// calls "geometry". One side of each comparison is a property, the other is a literal.
// Functions, arithmetic, arrays, intervals and ACCENTI are refused by name.
//
// A property that an item does not have is null. What is compared with null, or with a
// value of another kind, is unknown; so is NOT of it. Only what is true is kept.
package cql2

import (
	"fmt"

	"github.com/paulmach/orb"

	"nearby/area"
	"nearby/item"
	"nearby/value"
)

// Limits of a filter.
const (
	MaxTextBytes = 8 << 10  // of CQL2 Text
	MaxJSONBytes = 64 << 10 // of CQL2 JSON
	MaxDepth     = 32       // of NOT and parentheses, or of and, or and not, in each other
	MaxTerms     = 256      // predicates
	MaxPattern   = 256      // characters of what LIKE compares with
)

// Geometry is what a filter calls the position of an item.
const Geometry = "geometry"

// Expr is a filter or a part of one: *And, *Or, *Not, *Constant, *Intersects, or a
// Predicate. It does not change once it is read.
type Expr interface {
	// Append appends the expression as CQL2 Text. Two filters with the same text keep the
	// same items.
	Append(dst []byte) []byte
	String() string
}

// And is true where all of two or more expressions are. None of them is an *And.
type And struct{ Of []Expr }

// Or is true where one of two or more expressions is. None of them is an *Or.
type Or struct{ Of []Expr }

// Not is true where an expression is false. That is no *Not and no *Constant.
type Not struct{ Of Expr }

// Constant is TRUE or FALSE.
type Constant struct{ Value bool }

// Intersects is true for the items whose position is in the geometry or on its border: a
// Point, MultiPoint, LineString, MultiLineString, Polygon, MultiPolygon, a Collection of
// these, or a Bound. Edges are straight in longitude and latitude. Coordinates are degrees,
// from -180 to 180 and from -90 to 90. A Bound with Min[0] > Max[0] crosses the
// antimeridian.
type Intersects struct {
	Geometry orb.Geometry
	// Area is the geometry, if that is a Bound, a Polygon or a MultiPolygon, and package area
	// takes it; else nil. It tells of a position whether it is inside in less time.
	Area *area.Area
	At   Place
}

// Predicate is a condition on the value of one property: *In, *Range, *Like or *IsNull.
type Predicate interface {
	Expr
	Subject() Property
	// Match says whether a value of the property fulfils the condition.
	Match(value.Value) Truth
}

// Property names a property.
type Property struct {
	Name  string
	CaseI bool // it is compared after case folding, as CASEI(name)
	At    Place
}

// Subject returns the property.
func (p Property) Subject() Property { return p }

// Literal is a value in a filter: a string, a number, a boolean or a time.
type Literal struct {
	value.Value
	At Place
}

// In is true for values that equal one of the literals, of which there is at least one and
// which are of one kind: =, IN, and a property alone, which is compared with TRUE. Not of
// it is <> and NOT IN.
type In struct {
	Property
	Values []Literal
}

// Range is true for values between two bounds of one kind, of which one may be nil:
// <, <=, >, >= and BETWEEN.
type Range struct {
	Property
	Low, High *Bound
}

// Bound is an end of a Range.
type Bound struct {
	Literal
	Open bool // the literal itself is outside
}

// Like is true for strings that match a pattern.
type Like struct {
	Property
	Pattern *Pattern
}

// IsNull is true for null and for what is absent. It is never unknown.
type IsNull struct{ Property }

// Place is where something stands in a filter.
type Place struct {
	Column  int    // of CQL2 Text, in characters, from 1; 0: the filter is JSON
	Pointer string // of CQL2 JSON (RFC 6901)
}

// Error says what is wrong with a filter, and where.
type Error struct {
	Place
	Reason string // what was expected there and what was found
}

func (e *Error) Error() string {
	switch {
	case e.Column > 0:
		return fmt.Sprintf("column %d: %s", e.Column, e.Reason)
	case e.Pointer == "":
		return e.Reason
	}
	return fmt.Sprintf("at %s: %s", item.Shorten(e.Pointer), e.Reason)
}

func fault(at Place, format string, args ...any) error {
	return &Error{at, fmt.Sprintf(format, args...)}
}

// all joins expressions by AND.
func all(of []Expr) Expr {
	if len(of) == 1 {
		return of[0]
	}
	flat := &And{}
	for _, e := range of {
		if inner, ok := e.(*And); ok {
			flat.Of = append(flat.Of, inner.Of...)
		} else {
			flat.Of = append(flat.Of, e)
		}
	}
	return flat
}

// either joins expressions by OR.
func either(of []Expr) Expr {
	if len(of) == 1 {
		return of[0]
	}
	flat := &Or{}
	for _, e := range of {
		if inner, ok := e.(*Or); ok {
			flat.Of = append(flat.Of, inner.Of...)
		} else {
			flat.Of = append(flat.Of, e)
		}
	}
	return flat
}

// not negates an expression.
func not(e Expr) Expr {
	switch e := e.(type) {
	case *Not:
		return e.Of
	case *Constant:
		return &Constant{!e.Value}
	}
	return &Not{e}
}
