package ingest

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// collectionReader reads the Features of a FeatureCollection one by one. It
// finds where a Feature begins and ends by counting brackets outside strings,
// and leaves it to the decoder whether what is between is one: a bad Feature
// costs one row, a huge one is skipped without being kept, and the collection
// is never in memory.
type collectionReader struct {
	src      *source
	info     Info
	dec      objectDecoder
	single   bool // the stream is one Feature
	check    bool // Features are passed over: it is looked whether the collection has an end
	inside   bool // within "features"
	started  bool // a member, or a Feature, came before: a comma is due
	typed    bool // "type" came
	features bool // "features" came
	done     error
}

func newCollectionReader(src *source, opt Options, info Info) (Reader, error) {
	fill(src)
	c := &collectionReader{src: src, info: info}
	c.dec.opt = opt
	b, err := c.peek()
	if errors.Is(err, io.EOF) {
		return nil, errEmpty()
	}
	if err != nil {
		return nil, err
	}
	if b == '[' {
		return nil, errArray()
	}
	if b != '{' {
		return nil, &HeaderError{Reason: "the file is not a GeoJSON object", Unreadable: true}
	}
	switch o := look(src.window()); o.Type {
	case typeCollection, "":
		// A crs that comes after more Features than are in the window is found later.
		if o.crs != nil {
			if err := checkCRS(o.crs); err != nil {
				return nil, err
			}
		}
		if o.Type == "" && src.err != nil {
			return nil, errNotGeoJSON()
		}
		src.skip(1)
	case typeFeature:
		c.single = true
	default:
		return nil, errType(o.Type)
	}
	if errors.Is(src.err, io.EOF) { // all of it is here
		if err := c.whole(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// whole reports what is wrong with a document that is in the window to its end, outside of its
// Features: of a document that is refused no Feature is to be stored.
func (c *collectionReader) whole() error {
	src := *c.src
	look := collectionReader{src: &src, single: c.single, check: true}
	for {
		var row Row
		err := look.Next(&row)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.As(err, new(*RowError)) {
			return err
		}
	}
}

// errNotGeoJSON is of an object that is neither a Feature nor a FeatureCollection.
func errNotGeoJSON() error {
	return &HeaderError{Reason: "this is JSON, but not GeoJSON: it has neither a type nor features", Hint: "objects with lat and lon are read one a line, as NDJSON", Unreadable: true}
}

// CheckType reports whether data, a whole JSON object, is one Feature. It may say so and
// not be one. Its errors are those of what is neither that nor a FeatureCollection, or is
// one in another coordinate reference system than WGS 84, or that is broken outside of its
// Features.
func CheckType(data []byte) (feature bool, err error) {
	switch o := look(data); {
	case o.Type == typeCollection:
		if o.crs != nil {
			if err := checkCRS(o.crs); err != nil {
				return false, err
			}
		}
		c := collectionReader{src: sourceOf(data)}
		_, _ = c.peek() // it begins with {
		c.src.skip(1)
		return false, c.whole()
	case jsontext.Value(data).Kind() != '{': // whatever it is, who opens it says it
		return false, nil
	case o.Type == typeFeature, !jsontext.Value(data).IsValid():
		return true, nil
	case o.Type == "":
		return false, errNotGeoJSON()
	default:
		return false, errType(o.Type)
	}
}

func errType(kind string) error {
	if kind == typeEsri {
		return &HeaderError{Reason: "this is Esri JSON, not GeoJSON", Hint: "ask the service for f=geojson, or convert it first: ogr2ogr -f GeoJSONSeq", Unreadable: true}
	}
	return &item.FieldError{Field: "type", Got: item.Shorten(kind), Reason: "must be \"FeatureCollection\" or \"Feature\""}
}

func (c *collectionReader) Info() Info { return c.info }

// Next implements Reader.
func (c *collectionReader) Next(row *Row) error {
	if c.done != nil {
		return c.done
	}
	err := c.next(row)
	var r *RowError
	if err != nil && !errors.As(err, &r) {
		if errors.Is(err, errEarly) {
			err = c.fault("the file ends inside the collection")
		}
		c.done = err
	}
	return err
}

func (c *collectionReader) next(row *Row) error {
	if c.single {
		if c.features {
			return c.end()
		}
		c.features = true
		return c.feature(row)
	}
	for !c.inside {
		if err := c.member(); err != nil {
			return err
		}
	}
	b, err := c.must()
	if err != nil {
		return err
	}
	if b == ']' {
		c.src.skip(1)
		c.inside, c.started = false, true
		return c.next(row) // at most once: "features" may not come twice
	}
	if c.started {
		if b != ',' {
			return c.fault("a comma or ] must follow a Feature")
		}
		c.src.skip(1)
		if b, err = c.must(); err != nil {
			return err
		}
	}
	c.started = true
	if !startsValue(b) {
		return c.fault("a Feature is missing")
	}
	return c.feature(row)
}

// feature reads the value that comes next as a Feature.
func (c *collectionReader) feature(row *Row) error {
	raw, line, err := c.src.value()
	if errors.Is(err, errTooLong) {
		return &RowError{Line: line, Field: "row", Reason: fmt.Sprintf("is longer than the limit of %d bytes", c.src.limit)}
	}
	if err != nil {
		return err
	}
	if c.check {
		return nil
	}
	*row = Row{Line: line}
	if err := c.dec.feature(raw, row); err != nil {
		return rowError(line, row.Item.ID, err)
	}
	return nil
}

// member reads one member of the collection: all but "type", "crs" and "features",
// at whose first Feature it stops, are passed over. It answers io.EOF after
// the collection.
func (c *collectionReader) member() error {
	b, err := c.must()
	if err != nil {
		return err
	}
	if b == '}' {
		c.src.skip(1)
		if !c.typed || !c.features {
			return c.fault("this is not GeoJSON: a FeatureCollection has the members type and features")
		}
		return c.end()
	}
	if c.started {
		if b != ',' {
			return c.fault("a comma or } must follow a member")
		}
		c.src.skip(1)
		if b, err = c.must(); err != nil {
			return err
		}
	}
	c.started = true
	if b != '"' {
		return c.fault("the name of a member is missing")
	}
	raw, _, err := c.src.value()
	if err != nil {
		return c.tooLong(err)
	}
	name := unquoted(raw)
	if b, err = c.must(); err != nil {
		return err
	}
	if b != ':' {
		return c.fault("a colon must follow the name of a member")
	}
	c.src.skip(1)
	if b, err = c.must(); err != nil {
		return err
	}
	if !startsValue(b) {
		return c.fault("the value of a member is missing")
	}
	switch name {
	case "features":
		if b != '[' || c.features {
			return c.fault("features must come once and be an array")
		}
		c.src.skip(1)
		c.features, c.inside, c.started = true, true, false
	case "crs":
		raw, _, err := c.src.value()
		if err != nil {
			return c.tooLong(err)
		}
		if bad := checkCRS(raw); bad != nil {
			return c.fault(bad.Error() + "; the Features before it were read as if they were in degrees")
		}
	case "type":
		raw, _, err := c.src.value()
		if err != nil {
			return c.tooLong(err)
		}
		if c.typed || unquoted(raw) != typeCollection {
			return c.fault("type must come once and be \"FeatureCollection\"")
		}
		c.typed = true
	default:
		if _, _, err := c.src.value(); err != nil && !errors.Is(err, errTooLong) {
			return err
		}
	}
	return nil
}

// end checks that nothing comes after the last bracket.
func (c *collectionReader) end() error {
	if _, err := c.peek(); err != nil {
		return err // io.EOF, or a failure to read
	}
	return c.fault("there is something after the end of the GeoJSON object")
}

func (c *collectionReader) tooLong(err error) error {
	if errors.Is(err, errTooLong) {
		return c.fault(fmt.Sprintf("a member is longer than the limit of %d bytes", c.src.limit))
	}
	return err
}

func (c *collectionReader) fault(reason string) error {
	return &SyntaxError{Line: c.src.line, Reason: reason}
}

func (c *collectionReader) peek() (byte, error) { return c.src.peek(jsonBlanks) }

// must is peek where the stream may not end.
func (c *collectionReader) must() (byte, error) {
	b, err := c.peek()
	if errors.Is(err, io.EOF) {
		err = errEarly
	}
	return b, err
}

// startsValue reports whether a JSON value can begin with b.
func startsValue(b byte) bool {
	switch b {
	case '{', '[', '"', '-', 't', 'f', 'n':
		return true
	}
	return b >= '0' && b <= '9'
}
