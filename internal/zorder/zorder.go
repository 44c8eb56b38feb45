// Package zorder places positions on the Z-order curve of geohash: keys of 64 bits, and the
// cells that their first bits name.
package zorder

import (
	"math/bits"

	"github.com/mmcloughlin/geohash"

	"nearby/sphere"
)

// Bits is the number of bits of a Key: 32 of longitude, 32 of latitude.
const Bits = 64

// topLat is in the northernmost row of cells at 32 bits of latitude. The
// geohash library wraps latitudes that round to 90 round to the south pole.
const topLat = 90 - 180.0/(1<<33)

// eastLon is in the easternmost column likewise: the last longitude before 180
// rounds to 180, which the library takes for -180.
const eastLon = 180 - 360.0/(1<<33)

// Key returns the position's place on the Z-order curve: the integer geohash
// of 64 bits, longitude bit first. Its first n bits are the geohash cell of n
// bits; each pair of bits is a step down a quadtree over the whole Earth. The
// library it comes from is right except next to latitude 90 and longitude 180 and
// for NaN: longitude 180 counts as -180, latitude 90 as the northernmost row, and NaN
// must not get here (CheckPosition).
func Key(lon, lat float64) uint64 {
	if lon >= 180 {
		lon = -180
	} else if lon > eastLon {
		lon = eastLon
	}
	if lat > topLat {
		lat = topLat
	}
	return geohash.EncodeInt(lat, lon)
}

// Slack in degrees is more than a position can lie outside the Rect of its cell. The library
// finds the cell from lat/180+1.5 and lon/360+1.5, where processors have an instruction
// for the bits, and else from (lat+90)/180 and (lon+180)/360. These are rounded by at most 2^-52
// of the whole, 8e-14 degrees: in the first form the quotient, as it is at most 1/2, twice by
// 2^-54, and the sum by 2^-53; in the second the sum by 2^-45 degrees and the quotient by 2^-53. A
// Rect is exact, as its sides take less than 53 bits. Whoever subtracts a side from a position
// adds roundings of 4e-14 each. So Slack, 0.1 mm on the ground, is thousands of times the
// errors, and next to nothing for a search.
const Slack = 1e-9

// Rect returns the rectangle of the cell made of the first n bits of key,
// 0 <= n <= Bits. A position within Slack of its border may belong to the cell on the other
// side. Longitude 180 lies in the first column, whose Rect begins at -180.
func Rect(key uint64, n int) sphere.Rect {
	key = key >> (Bits - n) << (Bits - n) // n = 0 shifts by 64, which gives 0
	lonBits, latBits := (n+1)/2, n/2
	lon, lat := Deinterleave(key)
	const lonUnit, latUnit = 360.0 / (1 << 32), 180.0 / (1 << 32)
	west, south := float64(lon)*lonUnit-180, float64(lat)*latUnit-90
	return sphere.Rect{
		West: west, South: south,
		East:  west + lonUnit*float64(uint64(1)<<(32-lonBits)),
		North: south + latUnit*float64(uint64(1)<<(32-latBits)),
	}
}

// Around returns a rectangle that holds all positions in the cell made of the first n bits of key,
// but for longitude 180 as the other spelling of -180.
func Around(key uint64, n int) sphere.Rect {
	r := Rect(key, n)
	return sphere.Rect{
		West: max(r.West-Slack, -180), South: max(r.South-Slack, -90),
		East: min(r.East+Slack, 180), North: min(r.North+Slack, 90),
	}
}

// Deinterleave splits a Key into its 32 bits of longitude and of latitude,
// each counted from the west and from the south.
func Deinterleave(key uint64) (lon, lat uint32) {
	return squash(key >> 1), squash(key)
}

// Interleave is the inverse of Deinterleave.
func Interleave(lon, lat uint32) uint64 { return spread(lon)<<1 | spread(lat) }

// Last returns the greatest key in the cell of the first n bits of key, 0 to 64. key is its
// least.
func Last(key uint64, n int) uint64 {
	return key | (1<<(Bits-n) - 1) // n = 0 shifts 1 by 64, which gives 0, and all bits are set
}

// Common returns how many leading bits two keys share.
func Common(a, b uint64) int { return bits.LeadingZeros64(a ^ b) }

func spread(x uint32) uint64 {
	v := uint64(x)
	v = (v | v<<16) & 0x0000ffff0000ffff
	v = (v | v<<8) & 0x00ff00ff00ff00ff
	v = (v | v<<4) & 0x0f0f0f0f0f0f0f0f
	v = (v | v<<2) & 0x3333333333333333
	return (v | v<<1) & 0x5555555555555555
}

func squash(v uint64) uint32 {
	v &= 0x5555555555555555
	v = (v | v>>1) & 0x3333333333333333
	v = (v | v>>2) & 0x0f0f0f0f0f0f0f0f
	v = (v | v>>4) & 0x00ff00ff00ff00ff
	v = (v | v>>8) & 0x0000ffff0000ffff
	return uint32(v | v>>16)
}
