package api

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"strings"

	"nearby/collection"
	"nearby/ingest"
	"nearby/item"
	"nearby/parameter"
)

// onExisting is what a load does with a row whose item exists.
var onExisting = map[string]collection.Action{
	"":        collection.Upsert,
	"replace": collection.Upsert,
	"merge":   collection.Merge,
	"skip":    collection.Keep,
	"fail":    collection.Insert,
}

var bulkFormats = map[string]ingest.Format{
	textCSV:                    ingest.CSV,
	textTSV:                    ingest.CSV,
	"application/x-ndjson":     ingest.NDJSON,
	"application/geo+json-seq": ingest.GeoJSONSeq,
	geoJSON:                    ingest.GeoJSON,
}

const (
	textCSV = "text/csv"
	textTSV = "text/tab-separated-values"
)

// reading returns the options for reading the rows of a load, from the parameters and the
// content type.
func (p *parameters) reading(r *http.Request, kind string, op collection.Action) (opt ingest.Options, err error) {
	opt = ingest.Options{Format: bulkFormats[kind], Unpacked: true, Partial: op == collection.Merge, Name: argumentName}
	for name, to := range map[string]*string{"id": &opt.ID, "lat": &opt.Lat, "lon": &opt.Lon, "wkt": &opt.WKT} {
		if *to, err = p.text(name, item.MaxPropertiesBytes); err != nil {
			return opt, err
		}
	}
	if box, given, err := p.box("expectBbox"); err != nil {
		return opt, err
	} else if given {
		opt.Expect = &box
	}
	if opt.SkipLines, err = p.integer("skipLines", 0, parameter.MaxSkipLines, false); err != nil {
		return opt, err
	}
	if opt.DecimalComma, err = p.boolean("decimalComma"); err != nil {
		return opt, err
	}
	opt.Encoding = p.values.Get("encoding")
	if opt.Quotes = p.values.Get("quotes"); opt.Quotes == "auto" {
		opt.Quotes = ""
	}
	if v, ok := p.values.lookup("columns"); ok {
		opt.Columns = strings.Split(v, ",")
	}
	if opt.Format == ingest.CSV {
		if err := tableType(r, &opt); err != nil {
			return opt, err
		}
	}
	switch d, ok := p.values.lookup("delimiter"); {
	case d == "tab" || !ok && kind == textTSV:
		opt.Delimiter = '\t'
	case len(d) == 1:
		opt.Delimiter = rune(d[0])
	case ok:
		return opt, badParameter("delimiter", d, "must be one character of ASCII, or tab", "")
	}
	return opt, nil
}

// tableType reads the parameters header and charset of the content type of CSV or TSV (RFC 4180,
// section 3).
func tableType(r *http.Request, opt *ingest.Options) error {
	given := r.Header.Get("Content-Type")
	_, params, _ := mime.ParseMediaType(given)
	switch header := params["header"]; {
	case header == "absent" && opt.Columns == nil:
		return badParameter("Content-Type", given, "says that there is no header", "name the columns with the parameter columns=NAME,NAME,…")
	case header == "present" && opt.Columns != nil:
		return badParameter("Content-Type", given, "says that there is a header, but the parameter columns says that there is none", "leave out one of the two")
	}
	if charset := params["charset"]; isLatin1(charset) {
		if opt.Encoding == "utf-8" {
			return badParameter("encoding", opt.Encoding, "is not the charset "+charset+" of the content type", "leave out one of the two")
		}
		opt.Encoding = "latin1"
	}
	return nil
}

// argumentName returns the parameter of a load that sets an option of package ingest.
func argumentName(option, value string) string {
	switch option {
	case "decimal-comma":
		option, value = "decimalComma", "true"
	case "skip-lines":
		option = "skipLines"
	}
	if value == "" {
		return "the parameter " + option
	}
	return "the parameter " + option + "=" + value
}

// postItems inserts one Feature or loads many items.
func (s *Server) postItems(w http.ResponseWriter, r *http.Request) error {
	var params parameters
	if err := params.parse(r.URL.RawQuery, parameter.Load, nil); err != nil {
		return err
	}
	t, err := s.targetItems(w, r)
	if err != nil {
		return err
	}
	for _, name := range []string{headerMatch, headerNoneMatch, headerUnmodified} {
		if r.Header[name] != nil {
			return badParameter(name, r.Header.Get(name), "is not for a POST: a POST does not replace one version of an item", "PUT each item with its condition. A POST of one Feature only inserts. With ?onExisting=skip or fail a load does not change items that exist")
		}
	}
	kind, err := featureType(r, geoJSON, appJSON, textCSV, textTSV, "application/x-ndjson", "application/geo+json-seq")
	if err != nil {
		return err
	}
	if kind == appJSON { // many clients send this type for GeoJSON
		kind = geoJSON
	}
	op := onExisting[params.values.Get("onExisting")]
	opt, err := params.reading(r, kind, op)
	if err != nil {
		return err
	}
	opt.Queryables = t.snapshot.Definition().Queryables
	if kind != geoJSON && t.key != "" { // only one Feature may have a key
		return keyOfLoad(t.key)
	}
	body, err := s.loadBody(w, r)
	if err != nil {
		return err
	}
	in := body
	if kind == geoJSON {
		// The member type says whether the body is one Feature. That member can come last, so
		// the whole body is read. A body that is larger than the limit is a load.
		head, err := io.ReadAll(io.LimitReader(body, s.opt.Limits.MaxBodyBytes))
		if err != nil {
			return bodyError(err)
		}
		head = bytes.TrimPrefix(head, byteOrderMark)
		one := false
		if int64(len(head)) < s.opt.Limits.MaxBodyBytes {
			if one, err = ingest.CheckType(head); err != nil {
				return err
			}
		}
		if one {
			for _, name := range parameter.Of(parameter.Load) {
				// Clients that are generated from the OpenAPI document send the default values, too.
				if v, given := params.values.lookup(name); given && (v == "" || v != parameter.Named(name).Default) && name != "onError" && name != "id" {
					return badParameter(name, v, "is for a load, not for one Feature", "PUT replaces an item, and PATCH changes a part of it; a FeatureCollection with one Feature is a load")
				}
			}
			id, err := params.text("id", item.MaxPropertiesBytes)
			if err != nil {
				return err
			}
			return s.insertOne(w, r, t, head, id)
		}
		in = io.MultiReader(bytes.NewReader(head), body)
	}
	if t.key != "" {
		return keyOfLoad(t.key)
	}
	report, err := s.load(r, t, in, opt, op, params.values.Get("onError") == "abort")
	if report.seq > 0 {
		s.wrote(w, t.Collection, t.at, report.seq)
	}
	if report.pending {
		pending(w, t.Collection)
	}
	if err != nil {
		// A client that has left does not read the answer. So the log says what was loaded.
		s.opt.Log.InfoContext(r.Context(), "a load ended early", "id", requestID(r.Context()), "collection", t.Name(),
			"created", report.Created, "updated", report.Updated, "skipped", report.Skipped, "rejected", report.Rejected)
		return loadProblem(err, report)
	}
	return writeJSON(w, http.StatusOK, report)
}

func keyOfLoad(key string) error {
	return badParameter(headerKey, key, "is not for a load", "if the rows have ids, you can send the load again without a key, except with onExisting=fail")
}

func (s *Server) insertOne(w http.ResponseWriter, r *http.Request, t *target, data []byte, id string) error {
	it, err := ingest.DecodeFeatureBy(data, id)
	if err != nil {
		return decodeError(err)
	}
	return s.writeOne(w, r, t, collection.Write{Action: collection.Insert, Item: it}, t.idempotencyKey(r, data))
}
