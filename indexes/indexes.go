// Package indexes registers the kinds of index that a collection can have. A new kind is a
// package that passes index/indextest, an entry here, and what openapi.yaml says of it, which
// a test compares with the entry.
package indexes

import (
	"nearby/geohash"
	"nearby/index"
	"nearby/quadtree"
	"nearby/table"
)

// Kinds returns all of them.
func Kinds() table.Kinds { return table.Kinds{grid(), tree()} }

func grid() table.Kind {
	const bits = "bits"
	return table.Kind{
		Name: "geohash", Title: "geohash grid", Suits: table.EvenLines,
		Params: []table.Param{
			{Name: bits, Least: 1, Most: geohash.MaxBits, Doc: "bits of a cell; if left out, the server chooses them from the points"},
		},
		New: func(s table.Settings) (index.Builder, error) {
			opt := geohash.Options{Bits: s.Get(bits)}
			return geohash.New(opt), opt.Validate()
		},
	}
}

func tree() table.Kind {
	const maxPointsPerNode, maxDepth = "maxPointsPerNode", "maxDepth"
	return table.Kind{
		Name: "quadtree", Title: "quadtree", Suits: table.AnyPoints, Adapts: true,
		Params: []table.Param{
			{Name: maxPointsPerNode, Least: 1, Most: quadtree.MostPointsPerNode, Default: quadtree.DefaultMaxPointsPerNode, Doc: "greatest number of points in a leaf; a leaf with more points splits"},
			{Name: maxDepth, Least: 1, Most: quadtree.MostDepth, Default: quadtree.DefaultMaxDepth, Doc: "greatest number of splits from the root to a leaf"},
		},
		New: func(s table.Settings) (index.Builder, error) {
			opt := quadtree.Options{MaxPointsPerNode: s.Get(maxPointsPerNode), MaxDepth: s.Get(maxDepth)}
			return quadtree.New(opt), opt.Validate()
		},
	}
}
