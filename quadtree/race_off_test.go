//go:build !race

package quadtree_test

const raceEnabled = false
