// Package app wires the service and keeps its life cycle.
package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/logging"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/tracing"
)

// gcPercent is how much the heap grows before garbage is collected, in percent, unless GOGC says it. Little is
// kept (10 MiB), so that Go's 100 would collect several times a second under load.
const gcPercent = 400

// StartMetrics serves handler on port until stop is called. An error names the variable of the port.
type StartMetrics func(port int, handler http.Handler) (stop func(context.Context) error, err error)

// Serve runs the service until ctx is done and then stops it in good order, within
// cfg.ShutdownTimeout. level is the log's, for operators to change. ready, when not nil, is called once the
// service has become ready.
//
// It answers nil after a stop that was asked for, and one clear error when the service cannot start.
func Serve(
	ctx context.Context, cfg *config.Config, log zerolog.Logger, level *logging.Level, startMetrics StartMetrics, ready func(),
) (err error) {
	ctx = log.WithContext(ctx)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// What is closed below must not be broken off by the signal that asks for the stop.
	background := context.WithoutCancel(ctx)

	endpoint, err := traceEndpoint(cfg, log)
	if err != nil {
		return err
	}
	flushTraces, err := tracing.InitTracer(ctx, tracing.Options{
		Service: metrics.Service, Version: Version(), Endpoint: endpoint, Ratio: cfg.TraceRatio,
	}, log)
	if err != nil {
		return err
	}
	defer func() {
		limit, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		if flushErr := flushTraces(limit); flushErr != nil {
			log.Warn().Err(flushErr).Msg("Some traces were not exported")
		}
	}()

	listener, err := listen(cfg.Port, cfg.MaxConnections)
	if err != nil {
		return err
	}
	defer listener.Close() // also closed by the gRPC server, once that runs

	s, err := build(background, cfg, log)
	if err != nil {
		return err
	}
	defer s.close()

	stopMetrics, err := startMetrics(cfg.MetricsPort, s.operatorsHandler(level))
	if err != nil {
		return err
	}
	defer func() {
		limit, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		err = errors.Join(err, stopMetrics(limit))
	}()
	return s.run(ctx, listener, ready)
}

// run serves calls and, once all that is needed is there, lets the workers work, until ctx is done
// or the service has failed; then it stops both.
func (s *service) run(ctx context.Context, listener net.Listener, ready func()) error {
	background := context.WithoutCancel(ctx)
	looking, stopLooking := context.WithCancel(background)
	working, stopWorking := context.WithCancel(background)
	defer stopLooking()
	defer stopWorking()

	var looker, workers sync.WaitGroup
	looker.Go(func() { s.readiness.run(looking) })
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(listener) }()
	s.log.Info().Str("version", Version()).Int("port", s.cfg.Port).Int("metrics_port", s.cfg.MetricsPort).
		Msg("Service started")

	isReady, err := s.awaitReady(ctx, served)
	if isReady {
		if s.cfg.PostgresPooler == config.PoolerTransaction {
			s.warnOfMissingLimits(background)
		}
		s.startWorkers(working, &workers)
		if ready != nil {
			ready()
		}
		select {
		case <-ctx.Done():
		case err = <-served:
			err = fmt.Errorf("gRPC server: %w", err)
		}
	}

	s.log.Info().Msg("Service stopping")
	deadline := time.Now().Add(s.cfg.ShutdownTimeout)
	s.readiness.stop()
	// Most of the time is for the calls in flight, the rest for their events to reach Kafka. No call
	// takes longer than REQUEST_TIMEOUT; what is open for longer is a stream, as a health watch.
	stopServer(s.grpc, min(s.cfg.RequestTimeout+time.Second/2, s.cfg.ShutdownTimeout*2/3))
	stopWorking()
	if !waitUntil(&workers, deadline) {
		s.log.Error().Msg("Workers did not stop in time; events that wait are sent after the next start")
	}
	stopLooking()
	looker.Wait()
	s.log.Info().Msg("Service stopped")
	return err
}

// awaitReady waits until the service is ready for the first time. PostgreSQL must answer within
// STARTUP_TIMEOUT; an old schema is waited for without limit, as another process may migrate it.
func (s *service) awaitReady(ctx context.Context, served <-chan error) (isReady bool, err error) {
	timeout := time.NewTimer(s.cfg.StartupTimeout)
	defer timeout.Stop()
	for {
		select {
		case <-s.readiness.firstReady:
			return true, nil
		case <-ctx.Done():
			return false, nil
		case err := <-served:
			return false, fmt.Errorf("gRPC server: %w", err)
		case <-timeout.C:
			if err := s.readiness.problem(nameOfPostgres); err != nil {
				return false, fmt.Errorf("PostgreSQL at %s did not answer within STARTUP_TIMEOUT (%v): %s",
					net.JoinHostPort(s.cfg.PostgresHost, strconv.Itoa(s.cfg.PostgresPort)), s.cfg.StartupTimeout, OneLine(err))
			}
		}
	}
}

// warnOfMissingLimits says how a pooler's sessions get the limits that they lack.
func (s *service) warnOfMissingLimits(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	missing, err := postgres.MissingLimits(ctx, s.pool)
	if err != nil {
		s.log.Warn().Err(err).Msg("Failed to read the limits of PostgreSQL's sessions")
	}
	for _, limit := range missing {
		s.log.Warn().Str("run", "ALTER DATABASE "+s.cfg.PostgresDB+" SET "+limit).
			Msg("PostgreSQL's sessions lack a limit: calls may wait in the database for longer than their callers")
	}
}

// stopServer lets the calls in flight finish, those that take longer than limit are broken off.
func stopServer(server *grpc.Server, limit time.Duration) {
	timer := time.AfterFunc(limit, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
}

// waitUntil tells whether all of wg were done before the deadline.
func waitUntil(wg *sync.WaitGroup, deadline time.Time) bool {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(time.Until(deadline)):
		return false
	}
}

// listen takes the gRPC port, on all interfaces, for at most maxConnections at a time; 0 is no limit.
func listen(port, maxConnections int) (net.Listener, error) {
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("PORT: port %d is in use; set PORT to a free one", port)
	}
	if err != nil {
		return nil, fmt.Errorf("PORT: %w", err)
	}
	if maxConnections > 0 {
		listener = &fullListener{Listener: listener, most: int64(maxConnections)}
	}
	return listener, nil
}

// traceEndpoint answers where traces go, empty for nowhere.
func traceEndpoint(cfg *config.Config, log zerolog.Logger) (string, error) {
	if cfg.OTLPEndpoint != "" || cfg.JaegerEndpoint == "" {
		return cfg.OTLPEndpoint, nil
	}
	endpoint, err := tracing.FromJaeger(cfg.JaegerEndpoint)
	if err != nil {
		return "", fmt.Errorf("JAEGER_ENDPOINT: %w", err)
	}
	log.Warn().Str("otlp_endpoint", endpoint).
		Msg("JAEGER_ENDPOINT is outdated: traces go to OTLP on its host; set OTEL_EXPORTER_OTLP_ENDPOINT instead")
	return endpoint, nil
}

// OneLine writes an error of a driver, which may have several lines and repeat itself, as one.
func OneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(parts, line) {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, " ")
}
