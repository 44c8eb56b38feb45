package ingest

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// collectionReader reads the Features of a FeatureCollection one by one. It counts brackets
// outside strings to find where a Feature begins and ends; the decoder then checks whether it is
// one. So a bad Feature costs one row, a Feature that is too long is skipped and not kept, and
// the collection is never in memory as a whole.
type collectionReader struct {
	src      *source
	info     Info
	dec      objectDecoder
	single   bool  // the stream is one Feature
	check    bool  // Features are skipped: only the rest of the document is checked
	inside   bool  // within "features"
	started  bool  // a member, or a Feature, came before: a comma must follow
	typed    bool  // "type" came
	features bool  // "features" came; of a single Feature: the Feature came
	done     error // the end of the stream, which Next returns again
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
		// If the crs comes after the window, member finds it later.
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
	if errors.Is(src.err, io.EOF) { // the whole document is in the window
		if err := c.checkDocument(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// checkDocument checks a document that is in the window as a whole, except for its Features. If
// it fails, the document is refused before any Feature of it is stored.
func (c *collectionReader) checkDocument() error {
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

// errNotGeoJSON returns the error for an object that is neither a Feature nor a
// FeatureCollection.
func errNotGeoJSON() error {
	return &HeaderError{Reason: "this is JSON, but not GeoJSON: it has neither a type nor features", Hint: "objects with lat and lon are read one a line, as NDJSON", Unreadable: true}
}

// CheckType reports whether data, a whole JSON object, is one Feature rather than a
// FeatureCollection. It does not check the Feature, and also reports true for an object that is
// not valid JSON. It fails for an object of another type, and for a FeatureCollection that is
// broken outside of its Features or whose coordinates are not in WGS 84. For data that is not an
// object, it reports false without an error.
func CheckType(data []byte) (feature bool, err error) {
	switch o := look(data); {
	case o.Type == typeCollection:
		if o.crs != nil {
			if err := checkCRS(o.crs); err != nil {
				return false, err
			}
		}
		c := collectionReader{src: sourceOf(data)}
		_, _ = c.peek() // it is {
		c.src.skip(1)
		return false, c.checkDocument()
	case jsontext.Value(data).Kind() != '{': // Open returns the error
		return false, nil
	case o.Type == typeFeature, !jsontext.Value(data).IsValid():
		return true, nil
	case o.Type == "":
		return false, errNotGeoJSON()
	default:
		return false, errType(o.Type)
	}
}

// errType returns the error for a GeoJSON object, or Esri JSON, of another type.
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
		return c.next(row) // this recurses at most once, because "features" may not come twice
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

// feature reads the next value as a Feature.
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

// member reads one member of the collection. It stops before the first Feature of "features",
// checks "type" and "crs", and skips all other members. It returns io.EOF after the collection.
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

// end returns io.EOF, or an error if anything comes after the last bracket.
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

// must is peek, but the end of the stream is errEarly.
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
