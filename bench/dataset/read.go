package dataset

import (
	"errors"
	"fmt"
	"io"

	"nearby/ingest"
)

// Read returns the positions of a file that package ingest can read, at most
// limit of them, and how many rows were rejected.
func Read(r io.Reader, opt ingest.Options, limit int) (positions []Position, rejected int, err error) {
	in, err := ingest.Open(r, opt)
	if err != nil {
		return nil, 0, err
	}
	var row ingest.Row
	for {
		err := in.Next(&row)
		var bad *ingest.RowError
		switch {
		case errors.Is(err, io.EOF):
			return positions, rejected, nil
		case errors.As(err, &bad):
			rejected++
		case err != nil:
			return nil, rejected, err
		case len(positions) == limit:
			return nil, rejected, fmt.Errorf("dataset: the file has more than %d points", limit)
		default:
			positions = append(positions, Position{row.Item.Lon, row.Item.Lat})
		}
	}
}
