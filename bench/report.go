package bench

import (
	"fmt"
	"io"
	"slices"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// Report is what a run found. All times are in nanoseconds, all distances in
// metres.
type Report struct {
	Verdict string `json:"verdict"` // over all sets
	report.Made

	Sets []SetResult `json:"sets"`
	// Density tells which index is the quicker one at which density, over all sets.
	Density []Stretch `json:"density,omitempty"`
}

// SetResult is what was found on one data set.
type SetResult struct {
	Name    string  `json:"name"`
	Points  int     `json:"points"`
	Radius  float64 `json:"radius"` // of the radius workload
	Verdict string  `json:"verdict"`
	Choose  string  `json:"choose"` // "geohash", "quadtree" or "either"
	// Ratios compare the two standard indexes on each workload, and All as the
	// verdict weighs them.
	Ratios  []Ratio       `json:"ratios,omitempty"`
	All     *Ratio        `json:"all,omitempty"`
	Density []Stretch     `json:"density,omitempty"`
	Rounds  []Round       `json:"rounds,omitempty"` // what the ratios are made of
	Indexes []IndexResult `json:"indexes"`

	// Auto is what a collection of these points would choose by itself.
	Auto Auto `json:"auto"`
	// Map shows the indexes' cells. It is for the page; as figures it would be
	// most of the report.
	Map *CellMap `json:"-"`
}

// Auto is the index that auto chooses, by how the points lie, and why.
type Auto struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
}

// IndexResult is one index with one setting on one data set.
type IndexResult struct {
	Kind          string         `json:"kind"`
	Setting       string         `json:"setting"`
	Parameters    map[string]int `json:"parameters"`
	Reason        string         `json:"reason,omitempty"`
	BuildRate     float64        `json:"buildPointsPerSecond"`
	BytesPerPoint float64        `json:"bytesPerPoint"`
	Cells         int            `json:"cells"`
	Nodes         int            `json:"nodes"`
	MaxOccupancy  int            `json:"maxOccupancy"`
	Rows          []measure.Row  `json:"rows"`
	// Rounds are, near the points, the ratios of this setting's time to that of
	// the standard one of its kind, with which it took turns.
	Rounds []float64 `json:"rounds,omitempty"`
}

// name is how the index is called in tables.
func (x *IndexResult) name() string { return x.Kind + " " + x.Setting }

// sampled reports whether there are queries to draw against density.
func (s *SetResult) sampled() bool {
	return slices.ContainsFunc(s.Indexes, func(x IndexResult) bool {
		return slices.ContainsFunc(x.Rows, func(row measure.Row) bool { return len(row.Samples) > 0 })
	})
}

// row returns the row of a workload, or nil.
func (x *IndexResult) row(workload string) *measure.Row {
	for i := range x.Rows {
		if x.Rows[i].Workload == workload {
			return &x.Rows[i]
		}
	}
	return nil
}

// standard returns the kind's index with the settings that a user gets who
// chooses none: the first of its kind.
func (s *SetResult) standard(kind string) *IndexResult {
	for i := range s.Indexes {
		if s.Indexes[i].Kind == kind {
			return &s.Indexes[i]
		}
	}
	return nil
}

// wrong names the first row with a wrong answer, or returns "".
func (r *Report) wrong() string {
	for _, s := range r.Sets {
		for _, x := range s.Indexes {
			for _, row := range x.Rows {
				if row.Recall != 1 {
					return fmt.Sprintf("%s, %s, %s: recall %.4f", s.Name, x.name(), row.Workload, row.Recall)
				}
			}
		}
	}
	return ""
}

// WriteJSON writes the whole report, the samples of the plots included.
func (r *Report) WriteJSON(w io.Writer) error {
	return report.WriteJSON(w, r)
}

// noiseCaption says what a ratio and the range beside it are.
func noiseCaption() string {
	return fmt.Sprintf("Grid and quadtree, with their standard settings, took turns in %d rounds at the same questions and changes. A ratio is the median of the rounds' ratios; beside it stand the least and the greatest, which have the true median between them with a confidence of %.1f %%. One is called the quicker one if it is so in every round, by more than %.0f %%; both are called level if no round differs by more than %.0f %%.",
		rounds, confidence(rounds), 100*(level-1), 100*(alike-1))
}
