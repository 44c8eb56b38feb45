package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/database"
)

var _ store.DigestView = (*view)(nil)

// The column and the row of a cell, 0 to 31, computed as store.Cell does. A number that is
// not a degree is in the nearest cell, whose digest then differs.
const (
	cellColumn = `greatest(least(floor((lon + 180) / 360 * 32), 31), 0)::int`
	cellRow    = `greatest(least(floor((lat + 90) / 180 * 32), 31), 0)::int`
)

// hashColumn computes what store.Hash computes.
const hashColumn = `('x' || left(md5(float8send(lon) || float8send(lat) || int8send(seq) || convert_to(id, 'UTF8') || '\x00'::bytea ||
 convert_to(coalesce(properties::text, ''), 'UTF8')), 16))::bit(64)::bigint`

// Digests is part of store.DigestView.
func (v *view) Digests(ctx context.Context, collection string) (map[uint16]store.Digest, error) {
	conn, err := v.enter()
	if err != nil {
		return nil, err
	}
	defer v.leave()
	since, err := born(ctx, conn, collection)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT "+cellColumn+", "+cellRow+", count(*), bit_xor("+hashColumn+") FROM nearby.items WHERE "+
		v.goodItems(collection, since)+" GROUP BY 1, 2", pgx.QueryExecModeExec)
	if err != nil {
		return nil, database.ReadError(err)
	}
	defer rows.Close()
	digests := map[uint16]store.Digest{}
	for rows.Next() {
		var x, y int32
		var items, hash int64
		if err := rows.Scan(&x, &y, &items, &hash); err != nil {
			return nil, database.ReadError(err)
		}
		digests[interleave(x, y)] = store.Digest{Items: int(items), Hash: uint64(hash)}
	}
	return digests, database.ReadError(rows.Err())
}

// interleave returns the number of a cell, as store.Cell does, from its column and row.
func interleave(x, y int32) uint16 {
	cell := uint16(0)
	for bit := 4; bit >= 0; bit-- {
		cell = cell<<2 | uint16(x>>bit&1)<<1 | uint16(y>>bit&1)
	}
	return cell
}

// Cells is part of store.DigestView.
func (v *view) Cells(ctx context.Context, collection string, cells []uint16, yield func(*item.Item) error) error {
	snapshot, since, _, err := v.export(ctx, collection)
	if err != nil || len(cells) == 0 {
		return err
	}
	numbers := make([]string, len(cells))
	for i, cell := range cells {
		x, y := int32(0), int32(0)
		for bit := 4; bit >= 0; bit-- {
			x, y = x<<1|int32(cell>>(2*bit+1)&1), y<<1|int32(cell>>(2*bit)&1)
		}
		numbers[i] = fmt.Sprint(x<<5 | y)
	}
	where := " AND " + cellColumn + " * 32 + " + cellRow + " IN (" + strings.Join(numbers, ",") + ")"
	return v.inSnapshot(ctx, snapshot, func(conn *pgx.Conn) error {
		return v.copyItems(ctx, conn, collection, since, where, yield)
	})
}
