package database

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// newestVersion returns the number of the last migration.
func newestVersion() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return 0, errors.Join(errors.New("there are no migrations"), err)
	}
	return goose.NumericComponent(files[len(files)-1])
}

// withMigrations calls do with goose's provider of the migrations.
func (d *Database) withMigrations(do func(*goose.Provider) error) (err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	config := d.Config(Writing)
	config.RuntimeParams["statement_timeout"] = "0"                                   // to make an index may take long
	config.RuntimeParams["idle_in_transaction_session_timeout"] = Millis(time.Minute) // for a machine that is busy
	config.RuntimeParams["plan_cache_mode"] = "auto"
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("nearby.migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	return do(provider)
}

// migrate runs the migrations that the database does not have yet.
func (d *Database) migrate(ctx context.Context) error {
	return d.withMigrations(func(provider *goose.Provider) error {
		made, err := provider.Up(ctx)
		if err != nil {
			return fmt.Errorf("bringing the tables up to date: %w", err)
		}
		for _, m := range made {
			d.opt.Log.Info("the tables were brought up to date", "version", m.Source.Version, "microseconds", m.Duration.Microseconds())
		}
		return nil
	})
}
