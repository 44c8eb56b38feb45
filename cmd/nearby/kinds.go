package main

import (
	"nearby/collection"
	"nearby/geohash"
	"nearby/index"
	"nearby/quadtree"
)

// kinds are the indexes that this program can give a collection.
func kinds() collection.Kinds {
	return collection.Kinds{
		collection.KindGeohash: func(s collection.IndexSpec) (index.Builder, error) {
			opt := geohash.Options{Bits: s.Bits}
			if err := opt.Validate(); err != nil {
				return nil, err
			}
			return geohash.New(opt), nil
		},
		collection.KindQuadtree: func(s collection.IndexSpec) (index.Builder, error) {
			opt := quadtree.Options{MaxPointsPerNode: s.MaxPointsPerNode, MaxDepth: s.MaxDepth}
			if err := opt.Validate(); err != nil {
				return nil, err
			}
			return quadtree.New(opt), nil
		},
	}
}
