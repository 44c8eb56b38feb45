// Package geohash is the static grid: an index.Index whose cells are geohash
// cells of one precision, chosen when it is built and the same everywhere.
//
// A position's cell is the first Bits bits of its zorder.Key; any number of
// bits will do, not only the multiples of five that have a plain name. A search
// looks up the cell of its centre and then rings of neighbour cells round it.
// What lies outside the block of cells walked so far is at least as far as the
// block's border, and that bound is a true one on the sphere: the block is open
// over a pole that it reaches, and closed upon itself where it spans all
// longitudes. A search ends when k hits are nearer than anything unseen.
//
// A grid is fast where its cells hold a few points each. Where they are empty,
// walking on in rings of the same size would look up millions of them; so a
// search goes on with coarser cells, prefixes of the geohash two bits shorter
// each time and four times the area, and begins with the coarsest one round its
// centre that is empty. Coarse cells that hold something wait in a queue by the
// distance of their points' box, and are opened in that order, so that no cell
// is scanned before a nearer one, nor twice.
//
// The directory from geohashes to cells is a trie with eight branches a node, for
// three bits of the geohash. It ends in pages of at most 32 cells, as deep as the
// data needs and no deeper: a wrong precision costs time but not a chain of nodes
// for each point. Each cell has its points in one array without pointers, so that
// the garbage collector sees an object for some twenty points and a batch copies
// no more. A cell with more than 64 points keeps them in chunks of at most 128 in
// the order of (ZKey, id): an insert copies one chunk, and a search among a
// million equal points stops after k of them. Smaller cells are not kept in
// order, which only Range needs and can make from so few.
//
// Versions share all nodes, pages, cells and chunks that a batch leaves alone.
// Those that it touches are replaced, once, in one walk with the whole batch in
// order of places.
package geohash
