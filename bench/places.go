package bench

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"nearby/bench/dataset"
	"nearby/index"
)

// places is the index.Items of a run: the item with Ref i lies at the i-th
// position, and its id is the Ref in four bytes, big end first.
type places struct {
	at []dataset.Position
}

// Position implements index.Items.
func (p *places) Position(r index.Ref) (lon, lat float64) { return p.at[r].Lon, p.at[r].Lat }

// CompareIDs implements index.Items.
func (p *places) CompareIDs(a, b index.Ref) int { return cmp.Compare(a, b) }

// CompareID implements index.Items.
func (p *places) CompareID(a index.Ref, id string) int {
	return strings.Compare(p.ID(a), id)
}

// ID implements index.Items.
func (p *places) ID(r index.Ref) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(r))
	return string(b[:])
}

// points returns all of them as a Builder takes them.
func (p *places) points() []index.Point {
	points := make([]index.Point, len(p.at))
	for i, at := range p.at {
		points[i] = index.Point{Ref: index.Ref(i), Lon: at.Lon, Lat: at.Lat}
	}
	return points
}

// clone returns a copy with room to grow.
func (p *places) clone() *places { return &places{slices.Clone(p.at)} }

// median of values, which it sorts; NaN of none.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile of values, which it sorts: the least value that the share q of them
// does not exceed.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	i := int(math.Ceil(q*float64(len(values)))) - 1
	return values[min(max(i, 0), len(values)-1)]
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
