package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"nearby/bench/servers"
)

// Report is what a run found. All times are in nanoseconds, all distances in
// metres.
type Report struct {
	Verdict string `json:"verdict"` // over all sets
	Seed    uint64 `json:"seed"`
	Points  int    `json:"points,omitempty"` // of each generated set, if there is one
	Quick   bool   `json:"quick"`
	RowTime string `json:"rowTime"`
	Machine
	Elapsed string `json:"elapsed"`

	Sets []SetResult `json:"sets"`
	// Density tells which index is the quicker one at which density, over all sets.
	Density []Stretch `json:"density,omitempty"`

	// Servers are what was found about nearby as a service beside others, if
	// that was measured.
	Servers        *servers.Result `json:"servers,omitempty"`
	ServersVerdict string          `json:"serversVerdict,omitempty"`
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
	// Peers are what others have built, if they were measured.
	Peers        []IndexResult `json:"peers,omitempty"`
	PeersVerdict string        `json:"peersVerdict,omitempty"`
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
	Peer          bool           `json:"peer,omitempty"`
	Parameters    map[string]int `json:"parameters"`
	Reason        string         `json:"reason,omitempty"`
	BuildRate     float64        `json:"buildPointsPerSecond"`
	BytesPerPoint float64        `json:"bytesPerPoint"`
	Cells         int            `json:"cells"`
	Nodes         int            `json:"nodes"`
	MaxOccupancy  int            `json:"maxOccupancy"`
	Rows          []Row          `json:"rows"`
	// Rounds are, near the points, the ratios of this setting's time to that of
	// the standard one of its kind, with which it took turns.
	Rounds []float64 `json:"rounds,omitempty"`
}

// name is how the index is called in tables.
func (x *IndexResult) name() string { return x.Kind + " " + x.Setting }

// Row is one workload on one index. An operation is a query or a change; a
// change's time is its share of its batch.
type Row struct {
	Workload   string   `json:"workload"`
	Operations int      `json:"operations"`
	Mean       float64  `json:"meanNs"`
	P50        float64  `json:"p50Ns"`
	P99        float64  `json:"p99Ns"`
	Rate       float64  `json:"perSecond"` // from the mean, on one CPU
	Allocs     float64  `json:"allocsPerOp"`
	Entered    float64  `json:"enteredPerQuery"`  // cells or nodes
	Compared   float64  `json:"comparedPerQuery"` // points
	Recall     float64  `json:"recall"`           // against brute force
	Sampled    int      `json:"sampled"`          // answers compared
	Samples    []Sample `json:"samples,omitempty"`
}

// Sample is one query for ten with the density at its place.
type Sample struct {
	Tenth    float64 `json:"tenth"` // distance of the tenth neighbour
	Ns       float64 `json:"ns"`
	Entered  int     `json:"entered"`
	Compared int     `json:"compared"`
}

// sampled reports whether there are queries to draw against density.
func (s *SetResult) sampled() bool {
	return slices.ContainsFunc(s.Indexes, func(x IndexResult) bool {
		return slices.ContainsFunc(x.Rows, func(row Row) bool { return len(row.Samples) > 0 })
	})
}

// row returns the row of a workload, or nil.
func (x *IndexResult) row(workload string) *Row {
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
	return wrongServer(r.Servers)
}

// WriteJSON writes the whole report, the samples of the plots included.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// caption says how the figures came about.
func (r *Report) caption() string {
	s := fmt.Sprintf("Seed %d, ", r.Seed)
	if r.Points > 0 {
		s += count(r.Points) + " points a generated set, "
	}
	s += fmt.Sprintf("%s per row, %s.", r.RowTime, r.describe())
	if r.Quick {
		s += " A quick run: a look, not figures to quote."
	}
	return s
}

// noiseCaption says what a ratio and the range beside it are.
func noiseCaption() string {
	return fmt.Sprintf("Grid and quadtree, with their standard settings, took turns in %d rounds at the same questions and changes. A ratio is the median of the rounds' ratios; beside it stand the least and the greatest, which have the true median between them with a confidence of %.1f %%. One is called the quicker one if it is so in every round, by more than %.0f %%; both are called level if no round differs by more than %.0f %%.",
		rounds, confidence(rounds), 100*(level-1), 100*(alike-1))
}
