package dataset

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"

	"nearby/item"
)

// Collection is a collection of invented places to try the service with.
type Collection struct {
	Name, Title string
	Queryables  []string // properties worth filtering on
	Points      int      // a size that loads in a moment
	words       *vocabulary
}

// vocabulary is what the names of a collection's places are put together from.
type vocabulary struct {
	first []string
	kinds []demoKind
}

// demoKind is a category and the words that names in it end with.
type demoKind struct {
	category string
	last     []string
}

// Demo returns the two collections of the demonstration: a dense city and a
// wilderness. Each is named like the set that its positions come from.
func Demo() []Collection {
	queryables := []string{"category", "rating", "opened"}
	return []Collection{
		{"city", "A dense city", queryables, 50000, &vocabulary{
			first: []string{"Amber", "Blue Heron", "Corner", "Daily", "Elm Street", "Foundry", "Golden", "Harbour", "Iron", "Juniper", "Lantern", "Little", "Market", "Northside", "Old Town", "Parkside", "Red Door", "Silver", "Union", "Velvet"},
			kinds: []demoKind{
				{"restaurant", []string{"Kitchen", "Grill", "Table", "Noodle House"}},
				{"cafe", []string{"Coffee", "Espresso Bar", "Tea Room"}},
				{"bar", []string{"Taproom", "Wine Bar", "Tavern"}},
				{"shop", []string{"Books", "Bicycles", "Records", "Grocers"}},
				{"museum", []string{"Gallery", "Museum"}},
				{"pharmacy", []string{"Pharmacy"}},
				{"hotel", []string{"Hotel", "Inn"}},
			},
		}},
		{"wilderness", "A wilderness with a few hamlets", queryables, 2000, &vocabulary{
			first: []string{"Antelope", "Badger", "Bear Creek", "Cedar", "Cold Spring", "Eagle", "Elk", "Granite", "Hollow", "Lost Horse", "Lone Pine", "Moose", "Pronghorn", "Raven", "Sagebrush", "Snowy", "Timber", "Trout", "Willow", "Wolf"},
			kinds: []demoKind{
				{"campground", []string{"Campground", "Camp"}},
				{"viewpoint", []string{"Overlook", "Point"}},
				{"trailhead", []string{"Trailhead", "Pass Trail"}},
				{"cabin", []string{"Cabin", "Hut", "Lookout"}},
				{"spring", []string{"Hot Spring", "Spring"}},
				{"general store", []string{"General Store", "Trading Post"}},
				{"fuel", []string{"Gas & Supply"}},
			},
		}},
	}
}

// Items returns n of the collection's items. Their ids are the collection's
// name and a number from 1.
func (c Collection) Items(n int, seed uint64) (iter.Seq[item.Item], error) {
	positions, err := Generate(c.Name, n, seed)
	if err != nil {
		return nil, err
	}
	return func(yield func(item.Item) bool) {
		r := newRand(c.Name+" properties", seed)
		for i, p := range positions {
			it := item.Item{
				ID:  fmt.Sprintf("%s-%06d", c.Name, i+1),
				Lon: p.Lon, Lat: p.Lat,
				Properties: c.words.properties(r),
			}
			if !yield(it) {
				return
			}
		}
	}, nil
}

// properties invents a place. No word needs escaping in JSON.
func (v *vocabulary) properties(r *rand.Rand) []byte {
	// The product of two draws prefers the first kinds, as towns do.
	kind := v.kinds[int(float64(len(v.kinds))*r.Float64()*r.Float64())]
	name := v.first[r.IntN(len(v.first))] + " " + kind.last[r.IntN(len(kind.last))]
	rating := min(max(39+int(7*r.NormFloat64()), 10), 50) // tenths
	year := 2025 - int(75*r.Float64()*r.Float64())

	b := append(make([]byte, 0, 120), `{"name":"`...)
	b = append(b, name...)
	b = append(b, `","category":"`...)
	b = append(b, kind.category...)
	b = append(b, `","rating":`...)
	b = strconv.AppendFloat(b, float64(rating)/10, 'f', 1, 64)
	b = append(b, `,"opened":`...)
	b = strconv.AppendInt(b, int64(year), 10)
	return append(b, '}')
}
