package table

import (
	"fmt"

	"nearby/index"
)

// Kinds of index that a Schema can name. Auto measures the density of the items and
// picks one of the others.
const (
	KindAuto     = "auto"
	KindGeohash  = "geohash"
	KindQuadtree = "quadtree"
)

// IndexSpec chooses an index and its parameters; zero means chosen for you.
type IndexSpec struct {
	Kind             string `json:"kind"`                      // auto, geohash or quadtree
	Bits             int    `json:"bits,omitzero"`             // geohash: bits of a cell, 1 to 64
	MaxPointsPerNode int    `json:"maxPointsPerNode,omitzero"` // quadtree: 1 to 4096
	MaxDepth         int    `json:"maxDepth,omitzero"`         // quadtree: 1 to 32
}

// Kinds makes index builders by kind. It is given by whoever wires the program,
// so that this package knows no implementation.
type Kinds map[string]func(IndexSpec) (index.Builder, error)

// build makes an index.
func (k Kinds) build(spec IndexSpec, points []index.Point, items index.Items) (index.Index, error) {
	newBuilder, ok := k[spec.Kind]
	if !ok {
		return nil, fmt.Errorf("there is no index of kind %q", spec.Kind)
	}
	build, err := newBuilder(spec)
	if err != nil {
		return nil, err
	}
	return build(points, items)
}

// Schema says how a table keeps its items.
type Schema struct {
	Index      IndexSpec
	Queryables []string // top-level properties that can be filtered on; each has a column
	Time       string   // the top-level property that says when an item is; empty: none
}

// MaxQueryables bounds the queryables of a Schema.
const MaxQueryables = 32

// MaxQueryableBytes bounds the name of a queryable.
const MaxQueryableBytes = 128
