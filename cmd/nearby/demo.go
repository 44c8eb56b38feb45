package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"nearby/bench/dataset"
	"nearby/catalog"
	"nearby/collection"
	"nearby/value"
)

// demoSeed makes the demo's places the same everywhere.
const demoSeed = 1

// createDemo makes the collections of the demo that are missing.
func createDemo(ctx context.Context, catalog *catalog.Catalog, log *slog.Logger) error {
	for _, d := range dataset.Demo() {
		_, err := catalog.Get(d.Name)
		if errors.Is(err, collection.ErrNotFound) {
			if err = createOne(ctx, catalog, d); err == nil {
				log.Info("demo collection created", "collection", d.Name, "items", d.Points)
			}
		}
		if err != nil {
			return fmt.Errorf("demo collection %q: %w", d.Name, err)
		}
	}
	return nil
}

func createOne(ctx context.Context, catalog *catalog.Catalog, d dataset.Collection) error {
	items, err := d.Items(d.Points, demoSeed)
	if err != nil {
		return err
	}
	col, _, err := catalog.Put(ctx, collection.Definition{Name: d.Name, Title: d.Title, Queryables: value.Untyped(d.Queryables...)})
	if err != nil {
		return err
	}
	const step = 4096
	var writes []collection.Write
	flush := func() {
		results, failed := col.Write(ctx, writes)
		err = errors.Join(err, failed)
		for i := range results {
			err = errors.Join(err, results[i].Err)
		}
		writes = nil
	}
	for it := range items {
		writes = append(writes, collection.Write{Action: collection.Upsert, Item: it})
		if len(writes) == step {
			if flush(); err != nil {
				break
			}
		}
	}
	if flush(); err != nil {
		// Half a demo would pass for the whole one at the next start.
		return errors.Join(err, catalog.Drop(context.WithoutCancel(ctx), d.Name))
	}
	return nil
}
