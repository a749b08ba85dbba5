package command

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/bookingcontrol/booker-booking-svc/internal/app"
	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/logging"
)

// runServe runs the service until ctx is done.
func runServe(ctx context.Context, env Env, args []string) error {
	if err := noArguments("serve", args); err != nil {
		return err
	}
	cfg, err := config.Load(env.Environ)
	if err != nil {
		return err
	}
	level := logging.NewLevel(cfg.LogLevel)
	log := logging.New(env.Stderr, cfg.Env == config.Development, level)
	// What is logged without a logger in its context must not get lost.
	zerolog.DefaultContextLogger = &log
	return app.Serve(ctx, cfg, log, level, env.StartMetrics, nil)
}
