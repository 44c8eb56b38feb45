package indextest

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/paulmach/orb"

	"nearby/area"
	"nearby/index"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// Drive turns data into a sequence of operations and runs it on an index of
// each builder and on the Oracle. Any data is a valid sequence: what is missing
// at the end reads as zero. All answers, proofs and traces are checked; old
// versions are asked again.
func Drive(t *testing.T, data []byte, builders map[string]index.Builder) {
	if len(data) > 1<<12 {
		data = data[:1<<12] // a longer sequence finds no more and takes its time
	}
	d := driver{data: data, items: &Items{}, versions: map[string]version{}}
	for name, builder := range builders {
		v, err := build(builder, d.items)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d.versions[name] = v
	}
	old := map[string]asked{}
	for len(d.data) > 0 {
		switch d.next() % 8 {
		case 0, 1, 2, 3:
			changes, after := d.batch()
			for name, v := range d.versions {
				next, err := v.apply(changes, after)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := next.check(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				d.versions[name] = next
			}
			d.items = after
		case 4, 5, 6:
			q := d.query()
			for name, v := range d.versions {
				hits, err := v.nearest(q)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if o, ok := old[name]; ok {
					if again, err := o.version.nearest(o.query); err != nil || !slices.Equal(again, o.hits) {
						t.Fatalf("%s: an old version answers %v, not %v: %v", name, again, o.hits, err)
					}
				}
				if len(hits)%2 == 0 {
					old[name] = asked{version: v, query: q, hits: hits}
				}
			}
		default:
			q := d.area()
			for name, v := range d.versions {
				if _, err := v.inRange(q); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
	}
}

// driver reads operations off the data.
type driver struct {
	data     []byte
	items    *Items
	versions map[string]version
	builds   int
}

func (d *driver) next() byte {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *driver) word() uint64 {
	var b [8]byte
	n := copy(b[:], d.data)
	d.data = d.data[n:]
	return binary.LittleEndian.Uint64(b[:])
}

// landmarks are coordinates at which indexes have gone wrong.
var landmarks = []float64{
	0, math.Copysign(0, -1), 1e-17, -1e-17, 5e-324, 45, -45, 90, -90, 180, -180, 22.5, 11.25, 5.625, 89.99999999999999, -89.9,
	179.99999999999997, -179.99999999999997, 0.0109, -0.0109, 0.0111, 66.1413452, 85.0511, 1e-9,
}

// degrees reads a coordinate between -limit and limit: a landmark, a coarse
// grid, a fine grid, or any bits.
func (d *driver) degrees(limit float64) float64 {
	kind := d.next()
	var x float64
	switch kind % 4 {
	case 0:
		x = landmarks[int(kind/4)%len(landmarks)]
	case 1:
		x = float64(int8(d.next())) / 128 * limit
	case 2:
		x = float64(int8(d.next())) / 128 * 1e-3
	default:
		x = math.Float64frombits(d.word())
		if !(math.Abs(x) <= 1e9) {
			x = 1e9
		}
		x = math.Remainder(x, 2*limit)
	}
	return max(-limit, min(limit, x))
}

func (d *driver) position() index.Position { return at(d.degrees(180), d.degrees(90)) }

// batch reads up to 32 changes; a Ref may come several times.
func (d *driver) batch() ([]index.Update, *Items) {
	after := d.items.Clone()
	var changes []index.Update
	d.builds++
	for range 1 + d.next()%32 {
		b := d.next()
		r := index.Ref(b % 64)
		c := index.Update{Ref: r}
		switch {
		case !after.Has(r):
			c.Kind, c.New = index.Insert, d.position()
			id := fmt.Sprintf("%s-%d", IDOf(r), d.builds)
			if d.items.Has(r) {
				id = d.items.ID(r)
			}
			after.Set(r, id, c.New)
		case b < 128:
			c.Kind, c.Old = index.Delete, after.refs[r].pos
			after.Remove(r)
		default:
			c.Kind, c.Old, c.New = index.Move, after.refs[r].pos, d.position()
			after.Set(r, after.ID(r), c.New)
		}
		changes = append(changes, c)
	}
	return changes, after
}

func (d *driver) query() index.Query {
	p := d.position()
	flags := d.next()
	q := index.Query{Lon: p.Lon, Lat: p.Lat, K: int(d.next() % 70), MaxDistance: index.Everywhere}
	if flags&1 != 0 {
		q.MaxDistance = sphere.HalfCircumference * math.Exp(-float64(d.next())/8)
	}
	if flags&2 != 0 {
		q.Budget = int(d.next())
	}
	if flags&4 != 0 {
		m := index.Ref(2 + d.next()%5)
		q.Filter = func(r index.Ref) bool { return r%m == 0 }
		if flags&32 != 0 {
			q.Skip = skipOf(d.items, q.Filter)
		}
	}
	if flags&64 != 0 {
		q.Area = d.place()
	}
	if flags&128 != 0 {
		q.MinDistance = sphere.HalfCircumference * math.Exp(-float64(d.next())/8)
	}
	if r := index.Ref(d.next() % 64); flags&8 != 0 && d.items.Has(r) {
		// As far as an item, or just behind one.
		metres := sphere.Distance(vec(p), vec(d.items.refs[r].pos))
		if flags&16 != 0 {
			q.MaxDistance = metres
			if flags&128 != 0 {
				q.MinDistance = metres
			}
		} else {
			q.After = &index.After{Distance: metres, ID: d.items.ID(r)}
		}
	}
	return q
}

func (d *driver) area() index.RangeQuery {
	q := index.RangeQuery{Area: d.place()}
	flags := d.next()
	q.Limit = int(d.next() % 70)
	if flags&1 != 0 {
		q.Budget = int(d.next())
	}
	if flags&2 != 0 {
		q.Filter = func(r index.Ref) bool { return r%3 != 0 }
		if flags&4 != 0 {
			q.Skip = skipOf(d.items, q.Filter)
		}
	}
	if r := index.Ref(d.next() % 64); flags&8 != 0 && d.items.Has(r) {
		q.After = &index.RangeAfter{ZKey: zorder.Key(d.items.Position(r)), ID: d.items.ID(r)}
	}
	return q
}

// place reads an area: a box, or a triangle if its positions make one.
func (d *driver) place() *area.Area {
	a, b := d.position(), d.position()
	if d.next()&1 != 0 {
		c := d.position()
		if a, err := area.New(orb.MultiPolygon{{ring(a.Lon, a.Lat, b.Lon, b.Lat, c.Lon, c.Lat)}}); err == nil {
			return a
		}
	}
	return box(a.Lon, min(a.Lat, b.Lat), b.Lon, max(a.Lat, b.Lat))
}
