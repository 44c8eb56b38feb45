package geohash

import (
	"strconv"

	gh "github.com/mmcloughlin/geohash"

	"nearby/internal/zorder"
)

// A cell is its key, a ZKey of which only the first n bits count and the others
// are 0, and its precision n. It lies in one column and one row of a grid of
// 2^((n+1)/2) columns, counted eastward from longitude -180, and 2^(n/2) rows,
// counted northward from latitude -90.

// cellKey returns the key of the cell of n bits, 1 to 64, that holds key.
func cellKey(key uint64, n int) uint64 { return key >> (64 - n) << (64 - n) }

// gridSize returns the numbers of columns and rows of cells of n bits.
func gridSize(n int) (cols, rows int64) { return 1 << ((n + 1) / 2), 1 << (n / 2) }

// place returns the column and row of the cell of n bits that holds key.
func place(key uint64, n int) (col, row int64) {
	lon, lat := zorder.Deinterleave(key)
	return int64(lon >> (32 - (n+1)/2)), int64(uint64(lat) >> (32 - n/2))
}

// keyAt is the inverse of place.
func keyAt(col, row int64, n int) uint64 {
	return zorder.Interleave(uint32(col<<(32-(n+1)/2)), uint32(row<<(32-n/2)))
}

// cellName writes a cell in geohash's base 32. A number of bits that is not a
// multiple of five is written as network prefixes are: the name of the cell's
// south-western corner, then a slash and the number of bits. "u4pr" is a cell of
// 20 bits, "u4pn/18" the 18 bits that it begins with.
func cellName(key uint64, n int) string {
	chars := uint(n+4) / 5
	// Upstream writes 12 characters, 60 bits; a 13th holds the 4 bits left.
	name := gh.ConvertIntToString(key>>4, 12)[:min(chars, 12)]
	if chars > 12 {
		name += gh.ConvertIntToString(key<<1&31, 1)
	}
	if n%5 != 0 || n == 0 {
		name += "/" + strconv.Itoa(n)
	}
	return name
}
