package command

import (
	"context"
	"fmt"

	"github.com/bookingcontrol/booker-booking-svc/internal/app"
	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
)

// runMigrate brings the schema up, takes its newest migration back, or tells where it stands.
func runMigrate(ctx context.Context, env Env, args []string) error {
	if len(args) != 1 {
		return usageErrorf("migrate takes one of up, down, status")
	}
	run, ok := map[string]func(context.Context, Env, postgres.Options) error{
		"up": migrateUp, "down": migrateDown, "status": migrateStatus,
	}[args[0]]
	if !ok {
		return usageErrorf("migrate takes one of up, down, status, not %q", args[0])
	}
	cfg, err := config.Load(env.Environ)
	if err != nil {
		return err
	}
	if cfg.PostgresPooler != config.PoolerNone {
		return fmt.Errorf("migrate %s: migrations hold a session's lock, which a pooler cannot keep: set POSTGRES_HOST and POSTGRES_PORT to PostgreSQL itself, and POSTGRES_POOLER=none", args[0])
	}
	if err := run(ctx, env, app.PostgresOptions(cfg)); err != nil {
		return fmt.Errorf("migrate %s: %w", args[0], err)
	}
	return nil
}

func migrateUp(ctx context.Context, env Env, o postgres.Options) error {
	applied, err := postgres.MigrateUp(ctx, o)
	for _, m := range applied {
		fmt.Fprintf(env.Stdout, "applied %s\n", m.Name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(env.Stdout, "the schema is up to date")
	}
	return err
}

func migrateDown(ctx context.Context, env Env, o postgres.Options) error {
	undone, err := postgres.MigrateDown(ctx, o)
	switch {
	case err != nil:
		return err
	case undone == nil:
		fmt.Fprintln(env.Stdout, "nothing to take back: the schema is empty")
	default:
		fmt.Fprintf(env.Stdout, "took back %s\n", undone.Name)
	}
	return nil
}

func migrateStatus(ctx context.Context, env Env, o postgres.Options) error {
	list, err := postgres.MigrationStatus(ctx, o)
	for _, m := range list {
		state := "pending"
		if m.Applied {
			state = "applied"
		}
		fmt.Fprintf(env.Stdout, "%s  %s\n", state, m.Name)
	}
	return err
}
