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

// reading returns how the rows of a load are to be read.
func (q *query) reading(r *http.Request, kind string, op collection.Action) (opt ingest.Options, err error) {
	opt = ingest.Options{Format: bulkFormats[kind], Unpacked: true, Partial: op == collection.Merge, Name: argumentName}
	for name, to := range map[string]*string{"id": &opt.ID, "lat": &opt.Lat, "lon": &opt.Lon, "wkt": &opt.WKT} {
		if *to, err = q.text(name, item.MaxPropertiesBytes); err != nil {
			return opt, err
		}
	}
	if box, given, err := q.box("expectBbox"); err != nil {
		return opt, err
	} else if given {
		opt.Expect = &box
	}
	if opt.SkipLines, err = q.integer("skipLines", 0, parameter.MaxSkipLines, false); err != nil {
		return opt, err
	}
	if opt.DecimalComma, err = q.boolean("decimalComma"); err != nil {
		return opt, err
	}
	opt.Encoding = q.values.Get("encoding")
	if opt.Quotes = q.values.Get("quotes"); opt.Quotes == "auto" {
		opt.Quotes = ""
	}
	if v, ok := q.values.lookup("columns"); ok {
		opt.Columns = strings.Split(v, ",")
	}
	if opt.Format == ingest.CSV {
		if err := tableType(r, &opt); err != nil {
			return opt, err
		}
	}
	switch d, ok := q.values.lookup("delimiter"); {
	case d == "tab" || !ok && kind == textTSV:
		opt.Delimiter = '\t'
	case len(d) == 1:
		opt.Delimiter = rune(d[0])
	case ok:
		return opt, badParameter("delimiter", d, "must be one character of ASCII, or tab", "")
	}
	return opt, nil
}

// tableType reads what the content type of a table says of it (RFC 4180, section 3).
func tableType(r *http.Request, opt *ingest.Options) error {
	given := r.Header.Get("Content-Type")
	_, params, _ := mime.ParseMediaType(given)
	switch header := params["header"]; {
	case header == "absent" && opt.Columns == nil:
		return badParameter("Content-Type", given, "says that there is no header", "name the columns with the parameter columns=NAME,NAME,…")
	case header == "present" && opt.Columns != nil:
		return badParameter("Content-Type", given, "says that there is a header, and the parameter columns that there is none", "leave one of both out")
	}
	if charset := params["charset"]; isLatin1(charset) {
		if opt.Encoding == "utf-8" {
			return badParameter("encoding", opt.Encoding, "is another than the charset "+charset+" of the content type", "leave one of both out")
		}
		opt.Encoding = "latin1"
	}
	return nil
}

// argumentName writes an option of package ingest as the parameter of a load.
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
	q, err := s.parse(r, takesLoad, nil)
	if err != nil {
		return err
	}
	t, err := s.targetItems(w, r)
	if err != nil {
		return err
	}
	for _, name := range []string{headerMatch, headerNoneMatch, headerUnmodified} {
		if r.Header[name] != nil {
			return badParameter(name, r.Header.Get(name), "is not taken by a POST, which is of no version", "PUT each item with its condition; a POST of one Feature inserts, and ?onExisting=skip or fail lets a load leave items alone that exist")
		}
	}
	kind, err := featureType(r, geoJSON, appJSON, textCSV, textTSV, "application/x-ndjson", "application/geo+json-seq")
	if err != nil {
		return err
	}
	if kind == appJSON { // which every client sends that knows no better name
		kind = geoJSON
	}
	op := onExisting[q.values.Get("onExisting")]
	opt, err := q.reading(r, kind, op)
	if err != nil {
		return err
	}
	if kind != geoJSON && t.key != "" { // one Feature may have a key
		return keyOfLoad(t.key)
	}
	body, err := s.loadBody(w, r)
	if err != nil {
		return err
	}
	in := body
	if kind == geoJSON {
		// What it is, is said by its type member, which may come anywhere; one
		// Feature is small, so a body that ends within the limit and is no
		// FeatureCollection is one.
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
			for _, name := range takesLoad {
				// Programs that are generated from the document send what it names as default.
				if v, given := q.values.lookup(name); given && (v == "" || v != parameter.Named(name).Default) && name != "onError" && name != "id" {
					return badParameter(name, v, "is for a load, not for one Feature", "PUT replaces an item, PATCH merges into one; a FeatureCollection of one Feature is a load")
				}
			}
			id, err := q.text("id", item.MaxPropertiesBytes)
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
	report, err := s.load(r, t, in, opt, op, q.values.Get("onError") == "abort")
	if report.seq > 0 {
		s.wrote(w, t.Collection, t.at, report.seq)
	}
	if report.pending {
		pending(w, t.Collection)
	}
	if err != nil {
		// A client that has left does not read the answer: what it has loaded is told here.
		s.opt.Log.InfoContext(r.Context(), "a load ended early", "id", requestID(r.Context()), "collection", t.Name(),
			"created", report.Created, "updated", report.Updated, "skipped", report.Skipped, "rejected", report.Rejected)
		return loadProblem(err, report)
	}
	return writeJSON(w, http.StatusOK, report)
}

func keyOfLoad(key string) error {
	return badParameter(headerKey, key, "is not taken by a load", "a load whose rows have ids can be sent again as it is, unless it is to fail where they exist")
}

func (s *Server) insertOne(w http.ResponseWriter, r *http.Request, t *target, data []byte, id string) error {
	it, err := ingest.DecodeFeatureBy(data, id)
	if err != nil {
		return decodeError(err)
	}
	return s.writeOne(w, r, t, collection.Write{Action: collection.Insert, Item: it}, t.idempotencyKey(r, data))
}
