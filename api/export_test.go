package api

import (
	"strconv"

	"github.com/go-chi/chi/v5"
)

// Routes are what the tests compare with the document.
func (s *Server) Routes() chi.Routes { return s.router }

// ParameterRow is a row of the parameter table as the document would write it.
type ParameterRow struct {
	Name, Type, Min, Max, Default string
	Required                      bool
	Values                        []string
}

// Parameters shows the table.
func Parameters() []ParameterRow {
	types := map[kind]string{number: "number", integer: "integer", boolean: "boolean", text: "string", list: "array"}
	rows := make([]ParameterRow, 0, len(parameters))
	for _, p := range parameters {
		row := ParameterRow{Name: p.name, Type: types[p.kind], Default: p.def, Required: p.required, Values: p.values}
		if p.kind == number || p.kind == integer {
			row.Min = strconv.FormatFloat(p.min, 'g', -1, 64)
			if p.max != 0 {
				row.Max = strconv.FormatFloat(p.max, 'g', -1, 64)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// NearbyCursor goes on after a distance.
func NearbyCursor(distance float64, id string) string { return nearbyCursor(distance, id) }

// MergePatch is what a PATCH does to a feature.
func MergePatch(target, patch []byte) ([]byte, error) { return mergePatch(target, patch) }
