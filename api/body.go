package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/ingest"
	"nearby/item"
	"nearby/value"
)

// body opens a request's body, and decompresses it if Content-Encoding is gzip. A read of more
// than limit bytes, before or after decompression, is an error (0: no limit). Reading ends when
// the request or the server ends.
func (s *Server) body(w http.ResponseWriter, r *http.Request, limit int64) (io.Reader, error) {
	if limit > 0 && r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	in := s.bounded(w, r, r.Body, limit)
	switch enc := strings.ToLower(strings.Join(r.Header["Content-Encoding"], ", ")); enc {
	case "", "identity":
		return in, nil
	case "gzip", "x-gzip":
		z, err := ingest.Gunzip(in)
		if err != nil {
			return nil, bodyError(err)
		}
		return s.bounded(w, r, z, limit), nil
	default:
		w.Header().Set("Accept-Encoding", "gzip") // RFC 9110, section 12.5.3
		return nil, newProblem(unsupportedEncoding, fmt.Sprintf("the server does not take the content encoding %q; it takes gzip, once", item.Shorten(enc)))
	}
}

// loadBody is body for a bulk load. It also decompresses a gzipped file that came without
// Content-Encoding.
func (s *Server) loadBody(w http.ResponseWriter, r *http.Request) (io.Reader, error) {
	limit := s.opt.Limits.MaxLoadBytes
	in, err := s.body(w, r, limit)
	if enc := r.Header["Content-Encoding"]; err != nil || enc != nil && !slices.Equal(enc, []string{"identity"}) {
		return in, err
	}
	in, zipped, err := ingest.Unpack(in)
	if err != nil {
		return nil, bodyError(err)
	}
	if zipped {
		in = s.bounded(w, r, in, limit)
	}
	return in, nil
}

// bounded returns a reader of in that ends with an error after limit bytes (0: no limit), or
// when the request or the server ends.
func (s *Server) bounded(w http.ResponseWriter, r *http.Request, in io.Reader, limit int64) io.Reader {
	in = &attended{r.Context(), s, in}
	if limit > 0 {
		in = http.MaxBytesReader(w, io.NopCloser(in), limit)
	}
	return in
}

// attended is a stream whose reading ends when the request or the server ends.
type attended struct {
	ctx    context.Context
	server *Server
	r      io.Reader
}

// Read is part of io.Reader.
func (a *attended) Read(p []byte) (int, error) {
	if a.ctx.Err() != nil {
		return 0, context.Cause(a.ctx)
	}
	if a.server.bodies.stopped.Load() {
		return 0, errStopping
	}
	return a.r.Read(p)
}

// mediaType returns the content type of a request without its parameters. Any other than those
// in takes is an error.
func mediaType(r *http.Request, takes ...string) (string, error) {
	given := r.Header.Get("Content-Type")
	if slices.Contains(takes, given) {
		return given, nil
	}
	t, params, err := mime.ParseMediaType(given)
	switch {
	case given == "":
		return "", notTaken("there is no Content-Type; this path takes "+strings.Join(takes, ", "), takes)
	case err != nil || !slices.Contains(takes, t):
		return "", notTaken(fmt.Sprintf("this path does not take the content type %q; it takes %s", item.Shorten(given), strings.Join(takes, ", ")), takes)
	}
	switch cs := strings.ToLower(params["charset"]); {
	case cs == "", cs == "utf-8", cs == "utf8", cs == "us-ascii": // ASCII is a part of UTF-8
	case (t == textCSV || t == textTSV) && isLatin1(cs):
	default:
		return "", notTaken(fmt.Sprintf("the server does not take the charset %q; it takes utf-8, and iso-8859-1 for CSV and TSV", item.Shorten(cs)), takes)
	}
	return t, nil
}

// notTaken returns the problem of a content type that the path does not take. takes are those
// that it takes.
func notTaken(detail string, takes []string) error {
	p := newProblem(unsupportedContentType, detail)
	p.takes = strings.Join(takes, ", ")
	return p
}

// isLatin1 reports whether the reader for encoding=latin1 reads a charset.
func isLatin1(charset string) bool {
	switch strings.ToLower(charset) {
	case "iso-8859-1", "latin1", "windows-1252":
		return true
	}
	return false
}

// featureType is mediaType for a body with positions. A Content-Crs other than CRS84 is an
// error.
func featureType(r *http.Request, takes ...string) (string, error) {
	switch crs := r.Header.Get("Content-Crs"); strings.Trim(crs, "<>") {
	case "", crs84, crs84h:
		return mediaType(r, takes...)
	default:
		return "", badParameter("Content-Crs", crs, "must be <"+crs84+">", "")
	}
}

// readAll reads a whole body of at most limit bytes.
func (s *Server) readAll(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	b, err := s.body(w, r, limit)
	if err != nil {
		return nil, err
	}
	// The buffer has room for Content-Length bytes, and for the read that finds the end. It
	// grows if more bytes come.
	const most = 64 << 10
	data := bytes.NewBuffer(make([]byte, 0, bytes.MinRead+min(max(r.ContentLength, 0), most)))
	if _, err := data.ReadFrom(b); err != nil {
		return nil, bodyError(err)
	}
	if bytes.HasPrefix(data.Bytes(), []byte("\x1f\x8b")) {
		return nil, newProblem(malformedBody, "the body is gzipped, but no header says so; send it with Content-Encoding: gzip, and compress it once")
	}
	return bytes.TrimPrefix(data.Bytes(), byteOrderMark), nil
}

// byteOrderMark may stand before JSON, and is ignored (RFC 8259, section 8.1).
var byteOrderMark = []byte("\xef\xbb\xbf")

// bodyError returns the error to answer with if a body could not be read.
func bodyError(err error) error {
	switch {
	case errors.As(err, new(*http.MaxBytesError)), errors.As(err, new(*ingest.RatioError)), errors.As(err, new(*problem)),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(bodyStalled, "")
	}
	return newProblem(malformedBody, "the body could not be read: "+err.Error())
}

// readJSON reads a body into v. An unknown or repeated member and a wrong type are errors that
// name the member. Text after the value is an error, too.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, limit int64, v any, types ...string) error {
	if _, err := mediaType(r, types...); err != nil {
		return err
	}
	data, err := s.readAll(w, r, limit)
	if err != nil {
		return err
	}
	if len(data) > lightBytes {
		if err := slotOf(r.Context()).weigh(r.Context()); err != nil {
			return err
		}
	}
	return decodeJSON(data, v)
}

func decodeJSON(data []byte, v any, options ...json.Options) error {
	if value := jsontext.Value(data); value.Kind() != '{' && value.IsValid() {
		return newProblem(malformedBody, "the body must be a JSON object")
	}
	err := json.Unmarshal(data, v, append(options, json.RejectUnknownMembers(true))...)
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		field := memberPath(semantic.JSONPointer)
		reason, hint := "has the wrong type", ""
		if errors.Is(err, json.ErrUnknownName) {
			reason, hint = unknownMember, knownMembers(semantic.GoType)
		} else if semantic.GoType == reflect.TypeFor[value.Type]() {
			reason = new(value.Type).UnmarshalText(nil).Error()
		} else if semantic.GoType == reflect.TypeFor[[]string]() && field == "queryables" {
			reason = "must be an object that has the type of each queryable by its name, or an array of names"
		} else if semantic.GoType != nil {
			reason = "must be " + jsonType(semantic.GoType.Kind().String())
		}
		return badField(field, item.Shorten(string(semantic.JSONValue)), reason, hint)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) && errors.Is(syntactic.Err, jsontext.ErrDuplicateName) {
		return badField(memberPath(syntactic.JSONPointer), "", "is given twice", "")
	}
	if errors.As(err, &syntactic) && syntactic.Err != nil {
		return newProblem(malformedBody, fmt.Sprintf("the body is not valid JSON: %v at byte %d", syntactic.Err, syntactic.ByteOffset))
	}
	return newProblem(malformedBody, "the body is not valid JSON")
}

// unknownMember is the reason of a fault: the body has a member with an unknown name.
const unknownMember = "is not a known member"

// knownMembers is a hint at the members that an object of a type may have; "": they are not known.
func knownMembers(t reflect.Type) string {
	if names := memberNames(nil, t); len(names) > 0 {
		return "the members are " + item.List(names)
	}
	return ""
}

// memberNames appends the names of the members of a struct, also of those that it embeds.
func memberNames(names []string, t reflect.Type) []string {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return names
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name != "":
			names = append(names, name)
		case f.Anonymous || options == "inline":
			names = memberNames(names, f.Type)
		}
	}
	return names
}

// memberPath writes a JSON pointer in the form queries[3].lat.
func memberPath(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		switch _, err := strconv.ParseUint(token, 10, 32); {
		case b.Len() == 0:
			b.WriteString(token)
		case err == nil:
			b.WriteString("[" + token + "]")
		default:
			b.WriteString("." + token)
		}
	}
	return item.Shorten(b.String())
}

func jsonType(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "bool":
		return "true or false"
	case kind == "slice":
		return "an array"
	case kind == "struct", kind == "map":
		return "an object"
	}
	return "a " + kind
}
