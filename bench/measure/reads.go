package measure

import (
	"math"
	"runtime"
	"time"

	"nearby/index"
)

// Row is one workload on one index. An operation is a query or a change. The time of a change is the
// time of its batch divided by the number of changes in it.
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
	Recall     float64  `json:"recall"`           // compared with brute force
	Sampled    int      `json:"sampled"`          // answers that were compared
	Samples    []Sample `json:"samples,omitempty"`
}

// Sample is one query for ten neighbours with the density at its place.
type Sample struct {
	Tenth    float64 `json:"tenth"` // distance of the tenth neighbour, metres
	Ns       float64 `json:"ns"`
	Entered  int     `json:"entered"`
	Compared int     `json:"compared"`
}

// SetTimes computes the figures of a row from the times of its operations, in nanoseconds.
func (row *Row) SetTimes(times []float64) {
	row.Operations = len(times)
	row.Mean = Mean(times)
	row.P50, row.P99 = Quantile(times, 0.5), Quantile(times, 0.99)
	row.Rate = 1e9 / max(row.Mean, 1e-3)
}

// Part is a turn's share of a row's time and queries: the part with this number, from 0, of so many
// parts. Part{0, 1} is the whole row.
type Part struct{ Number, Of int }

// Each returns how many of n a part gets: n / Of, rounded up, at least 1.
func (p Part) Each(n int) int { return max((n+p.Of-1)/p.Of, 1) }

// Tally gathers the figures of a row over all of its turns.
type Tally struct {
	Times                    []float64 // times of the operations, in nanoseconds
	Samples                  []Sample
	Entered, Compared, Reads int
	Mallocs                  uint64
	Sampled                  int
	Recall                   float64 // sum of the recalls of the sampled answers
}

// Row returns the row of a workload.
func (t *Tally) Row(w Workload) Row {
	n := float64(len(t.Times))
	row := Row{
		Workload: w.Name, Samples: t.Samples, Sampled: t.Sampled,
		Recall: t.Recall / float64(max(t.Sampled, 1)), Allocs: float64(t.Mallocs) / n,
	}
	if t.Reads > 0 {
		row.Entered, row.Compared = float64(t.Entered)/float64(t.Reads), float64(t.Compared)/float64(t.Reads)
	}
	row.SetTimes(t.Times)
	return row
}

// Turn is the result of one turn: the time of each operation in nanoseconds and, for queries for ten
// neighbours, the distance of the tenth in metres; NaN if there were fewer.
type Turn struct {
	Times, Tenths []float64
}

// Reads makes the queries of a part of a workload, one after another, until its time is over or each
// was made once. It measures the time of each query. Reading the clock adds some tens of nanoseconds
// to every time.
func Reads(ix index.Index, items *Places, qs *Questions, w Workload, t *Truth, limit time.Duration, p Part, sum *Tally) (Turn, error) {
	var hits []index.Hit
	var err error

	// The queries that are compared with brute force also warm up the index.
	first, last := p.Number*SampleSize/p.Of, (p.Number+1)*SampleSize/p.Of
	for i := first; i < last; i++ {
		q := qs.Query(w, i)
		if hits, _, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return Turn{}, err
		}
		recall, err := t.Recall(q, w.Keeps, hits)
		if err != nil {
			return Turn{}, err
		}
		sum.Sampled++
		sum.Recall += recall
	}

	least, most, keep := p.Each(MinOperations), p.Each(MaxQueries), p.Each(MaxSamples)
	limit /= time.Duration(p.Of)
	ten := w.K == 10 && w.Keeps == 0 // with a filter, the tenth hit does not show the density
	found := Turn{Times: make([]float64, 0, most)}
	if ten {
		found.Tenths = make([]float64, 0, most)
	}
	samples := make([]Sample, 0, keep)
	// All queries use one variable: its address escapes to the heap, and a new one for each query
	// would count as an allocation of the index.
	var q index.Query
	before := Mallocs()
	start := time.Now()
	for last := start; len(found.Times) < most; {
		q = qs.Query(w, p.Number*most+len(found.Times))
		var proof index.Proof
		if hits, proof, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return Turn{}, err
		}
		now := time.Now()
		ns := float64(now.Sub(last))
		found.Times = append(found.Times, ns)
		sum.Entered += proof.Entered
		sum.Compared += proof.Compared
		if ten {
			tenth := math.NaN()
			if len(hits) == 10 {
				tenth = hits[9].Distance
				if len(samples) < keep {
					samples = append(samples, Sample{tenth, ns, proof.Entered, proof.Compared})
				}
			}
			found.Tenths = append(found.Tenths, tenth)
		}
		last = time.Now()
		if last.Sub(start) > limit && len(found.Times) >= least {
			break
		}
	}
	sum.Mallocs += Mallocs() - before
	sum.Reads += len(found.Times)
	sum.Samples = append(sum.Samples, samples...)
	sum.Times = append(sum.Times, found.Times...)
	return found, nil
}

// Mallocs returns how many objects this process has allocated so far.
func Mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
