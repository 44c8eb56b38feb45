package main

import (
	"nearby/geohash"
	"nearby/index"
	"nearby/quadtree"
	"nearby/table"
)

// kinds are the indexes that this program can give a collection.
func kinds() table.Kinds {
	return table.Kinds{
		table.KindGeohash: func(s table.IndexSpec) (index.Builder, error) {
			opt := geohash.Options{Bits: s.Bits}
			if err := opt.Validate(); err != nil {
				return nil, err
			}
			return geohash.New(opt), nil
		},
		table.KindQuadtree: func(s table.IndexSpec) (index.Builder, error) {
			opt := quadtree.Options{MaxPointsPerNode: s.MaxPointsPerNode, MaxDepth: s.MaxDepth}
			if err := opt.Validate(); err != nil {
				return nil, err
			}
			return quadtree.New(opt), nil
		},
	}
}
