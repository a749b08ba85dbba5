package command

import (
	"context"
	"fmt"

	"github.com/bookingcontrol/booker-booking-svc/internal/app"
	"github.com/bookingcontrol/booker-booking-svc/internal/config"
)

// runHealth asks the running service for its health, for the health checks of containers: an image with
// nothing in it but this binary has no other client.
func runHealth(ctx context.Context, env Env, args []string) error {
	if err := noArguments("health", args); err != nil {
		return err
	}
	cfg, err := config.Load(env.Environ)
	if err != nil {
		return err
	}
	line, err := app.AskHealth(ctx, cfg.MetricsPort)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	_, err = fmt.Fprintln(env.Stdout, line)
	return err
}
