package bench

import (
	"fmt"
	"io"
	"slices"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// Report is the result of a run. All times are in nanoseconds, all distances in metres.
type Report struct {
	Verdict string `json:"verdict"` // over all sets
	report.Made

	Sets []SetResult `json:"sets"`
	// Density says which index is the quicker one at which density, over all sets.
	Density []Stretch `json:"density,omitempty"`
}

// SetResult is the result on one data set.
type SetResult struct {
	Name    string  `json:"name"`
	Points  int     `json:"points"`
	Radius  float64 `json:"radius"` // of the radius workload
	Verdict string  `json:"verdict"`
	Choose  string  `json:"choose"` // "geohash", "quadtree" or "either"
	// Ratios compare the two standard indexes on each workload. All is their weighted mean, on
	// which the verdict rests.
	Ratios  []Ratio       `json:"ratios,omitempty"`
	All     *Ratio        `json:"all,omitempty"`
	Density []Stretch     `json:"density,omitempty"`
	Rounds  []Round       `json:"rounds,omitempty"` // the figures from which the ratios are computed
	Indexes []IndexResult `json:"indexes"`

	// Auto is the index that a collection of these points would choose by itself.
	Auto Auto `json:"auto"`
	// Map shows the indexes' cells. It is only on the page: as JSON it would be most of the
	// report.
	Map *CellMap `json:"-"`
}

// Auto is the index that the kind auto chooses from how the points lie, and the reason.
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
	// Rounds are ratios, one for each round: the time of this setting divided by that of the
	// standard setting of the same kind, in the workload NearTen.
	Rounds []float64 `json:"rounds,omitempty"`
}

// name returns the name of the index in tables.
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

// standard returns the index of a kind with the standard setting, which is the first of its kind.
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

// WriteJSON writes the whole report as JSON, with the samples of the plots.
func (r *Report) WriteJSON(w io.Writer) error {
	return report.WriteJSON(w, r)
}

// noiseCaption explains a ratio and the range beside it.
func noiseCaption() string {
	return fmt.Sprintf("Grid and quadtree, with their standard settings, took turns in %d rounds of the same queries and changes. A ratio is the median of the rounds' ratios. Beside it are the least and the greatest; the true median is between them with a confidence of %.1f %%. An index is called the quicker one if it was faster in every round, by more than %.0f %%. Both are called level if no round differs by more than %.0f %%.",
		rounds, confidence(rounds), 100*(level-1), 100*(alike-1))
}
