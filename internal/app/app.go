// Package app wires the service and keeps its life cycle.
package app

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/rs/zerolog"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
)

// StartMetrics serves handler on port until stop is called. An error names the variable of the port.
type StartMetrics func(port int, handler http.Handler) (stop func(context.Context) error, err error)

// Serve runs the service until ctx is done and then stops it in good order, within
// cfg.ShutdownTimeout. ready, when not nil, is called once the service has become ready.
//
// It answers nil after a stop that was asked for, and one clear error when the service cannot start.
func Serve(ctx context.Context, cfg *config.Config, log zerolog.Logger, startMetrics StartMetrics, ready func()) error {
	return errors.New("not wired yet")
}

// Version is the version of the module that the binary was built from, with its commit.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	return version
}

// PostgresOptions answers where the settings say that the database is.
func PostgresOptions(cfg *config.Config) postgres.Options {
	return postgres.Options{
		Host: cfg.PostgresHost, Port: cfg.PostgresPort, Database: cfg.PostgresDB,
		User: cfg.PostgresUser, Password: string(cfg.PostgresPassword),
		SSLMode: cfg.PostgresSSLMode, MaxConns: cfg.PostgresMaxConns,
	}
}
