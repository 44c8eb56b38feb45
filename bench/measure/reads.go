package measure

import (
	"math"
	"runtime"
	"time"

	"nearby/index"
)

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

// SetTimes fills in what the times of the operations, in nanoseconds, say.
func (row *Row) SetTimes(times []float64) {
	row.Operations = len(times)
	row.Mean = Mean(times)
	row.P50, row.P99 = Quantile(times, 0.5), Quantile(times, 0.99)
	row.Rate = 1e9 / max(row.Mean, 1e-3)
}

// Part is which share of a row's time and questions a turn has: the turns of a
// row together have what one that is alone has, which is Part{0, 1}.
type Part struct{ Number, Of int }

// Each returns this part's share of a row's n, at least 1.
func (p Part) Each(n int) int { return max((n+p.Of-1)/p.Of, 1) }

// Tally gathers what a row says, over all of its turns.
type Tally struct {
	Times                    []float64 // of the operations, in nanoseconds
	Samples                  []Sample
	Entered, Compared, Reads int
	Mallocs                  uint64
	Sampled                  int
	Recall                   float64 // the sum of those sampled
}

// Row is the row of a workload.
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

// Turn is what one turn found: the time of each operation and, of queries for
// ten, the distance of the tenth neighbour.
type Turn struct {
	Times, Tenths []float64
}

// Reads asks this part's queries of a workload, in turn, until its time is
// over or each was asked once. Each is timed by itself; reading the clock adds
// some tens of nanoseconds to every figure alike.
func Reads(ix index.Index, items *Places, qs *Questions, w Workload, t *Truth, limit time.Duration, p Part, sum *Tally) (Turn, error) {
	var hits []index.Hit
	var err error

	// The sample that is compared with brute force also warms up.
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
	ten := w.K == 10 && w.Keeps == 0 // a filter hides how dense it is
	found := Turn{Times: make([]float64, 0, most)}
	if ten {
		found.Tenths = make([]float64, 0, most)
	}
	samples := make([]Sample, 0, keep)
	// One query for all turns: it is passed on by its address, and one a turn
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

// Mallocs is how many objects this process has allocated so far.
func Mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
