package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/bookingcontrol/booker-booking-svc/migrations"
)

// Migration is a step of the schema.
type Migration struct {
	Version int64
	// Name is the migration's file.
	Name string
	// Applied tells whether the database has it.
	Applied bool
}

// MigrateUp brings the schema to its newest version and answers the migrations that it applied.
// Several processes may do this at once: one applies them, the others wait for it.
func MigrateUp(ctx context.Context, o Options) (applied []Migration, err error) {
	err = withProvider(o, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		for _, r := range results {
			applied = append(applied, Migration{r.Source.Version, r.Source.Path, true})
		}
		return err
	})
	return applied, err
}

// MigrateDown takes the newest migration back, with the data that only it had, and answers it; nil
// when the schema is empty.
func MigrateDown(ctx context.Context, o Options) (undone *Migration, err error) {
	err = withProvider(o, func(p *goose.Provider) error {
		r, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if err != nil {
			return err
		}
		undone = &Migration{r.Source.Version, r.Source.Path, false}
		return nil
	})
	return undone, err
}

// MigrationStatus lists the migrations that this binary knows. It changes nothing.
func MigrationStatus(ctx context.Context, o Options) (list []Migration, err error) {
	o.MaxConns = 1
	pool, err := NewPool(ctx, o)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	version, err := SchemaVersion(ctx, pool)
	if err != nil {
		return nil, err
	}
	err = withProvider(o, func(p *goose.Provider) error {
		for _, s := range p.ListSources() {
			list = append(list, Migration{s.Version, s.Path, s.Version <= version})
		}
		return nil
	})
	return list, err
}

func withProvider(o Options, do func(*goose.Provider) error) (err error) {
	db, err := openDB(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// An advisory lock, tried each second for ten minutes: as long as another replica's migration
	// may well take.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600))
	if err != nil {
		return fmt.Errorf("migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	return do(p)
}
