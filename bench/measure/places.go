package measure

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"nearby/bench/dataset"
	"nearby/index"
)

// Places is the index.Items of a measurement: the item with Ref i lies at the i-th
// position, and its id is the Ref in four bytes, big end first.
type Places struct {
	At []dataset.Position
}

// Position implements index.Items.
func (p *Places) Position(r index.Ref) (lon, lat float64) { return p.At[r].Lon, p.At[r].Lat }

// CompareIDs implements index.Items.
func (p *Places) CompareIDs(a, b index.Ref) int { return cmp.Compare(a, b) }

// CompareID implements index.Items.
func (p *Places) CompareID(a index.Ref, id string) int {
	return strings.Compare(p.ID(a), id)
}

// ID implements index.Items.
func (p *Places) ID(r index.Ref) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(r))
	return string(b[:])
}

// Points returns all of them as a Builder takes them.
func (p *Places) Points() []index.Point {
	points := make([]index.Point, len(p.At))
	for i, at := range p.At {
		points[i] = index.Point{Ref: index.Ref(i), Lon: at.Lon, Lat: at.Lat}
	}
	return points
}

// Clone returns a copy with room to grow.
func (p *Places) Clone() *Places { return &Places{slices.Clone(p.At)} }

// Median is the median of values, which it sorts; NaN of none.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile is the quantile of values, which it sorts: the least value that the share q of them
// does not exceed.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	i := int(math.Ceil(q*float64(len(values)))) - 1
	return values[min(max(i, 0), len(values)-1)]
}

// Mean is the mean of values; NaN of none.
func Mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
