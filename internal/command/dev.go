//go:build !nodev

package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/rs/zerolog"

	"github.com/bookingcontrol/booker-booking-svc/internal/app"
	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/logging"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
)

// devOptions are the flags of dev.
type devOptions struct {
	data        string
	reset       bool
	ports       devstack.Ports
	port        int
	metricsPort int
}

// runDev runs the service with all its neighbours until ctx is done.
func runDev(ctx context.Context, env Env, args []string) error {
	o, cfg, err := devSettings(env, args)
	if err != nil {
		return err
	}
	level := logging.NewLevel(cfg.LogLevel)
	log := logging.New(env.Stderr, cfg.Env == config.Development, level)
	zerolog.DefaultContextLogger = &log

	data, err := devstack.OpenData(ctx, o.data, o.reset)
	if err != nil {
		return err
	}
	defer data.Close()
	if err := devstack.CheckPorts(o.portUses(cfg)); err != nil {
		return err
	}
	stack, err := devstack.Start(ctx, data, o.ports, local(cfg.Port), func(message string) {
		fmt.Fprintf(env.Stderr, "dev: %s\n", message)
	})
	if ctx.Err() != nil && stack == nil {
		return nil // stopped while it started
	}
	if err != nil {
		return err
	}
	return errors.Join(serveOn(ctx, env, cfg, log, level, stack), stack.Stop())
}

// serveOn migrates and runs the service on its neighbours, until ctx is done or PostgreSQL is gone.
func serveOn(ctx context.Context, env Env, cfg *config.Config, log zerolog.Logger, level *logging.Level, stack *devstack.Stack) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost := errors.New("PostgreSQL ended by itself")
	go func() {
		select {
		case <-stack.Postgres.Done():
			cancel(lost)
		case <-ctx.Done():
		}
	}()
	if _, err := postgres.MigrateUp(ctx, app.PostgresOptions(cfg)); err != nil {
		if ctx.Err() != nil && !errors.Is(context.Cause(ctx), lost) {
			return nil
		}
		return fmt.Errorf("migrate: %w", err)
	}
	err := app.Serve(ctx, cfg, log, level, env.StartMetrics, func() {
		if err := greet(env.Stdout, cfg, stack, time.Now()); err != nil {
			log.Warn().Err(err).Msg("The addresses could not be printed")
		}
	})
	if errors.Is(context.Cause(ctx), lost) {
		return errors.Join(lost, err)
	}
	return err
}

// devSettings reads the flags and the settings of the service on its neighbours.
func devSettings(env Env, args []string) (devOptions, *config.Config, error) {
	var o devOptions
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	flags.StringVar(&o.data, "data", ".dev", "directory that keeps the data between runs")
	flags.BoolVar(&o.reset, "reset", false, "empty that directory first")
	flags.IntVar(&o.ports.Postgres, "postgres-port", devstack.DefaultPostgresPort, "port of PostgreSQL")
	flags.IntVar(&o.ports.Redis, "redis-port", devstack.DefaultRedisPort, "port of Redis")
	flags.IntVar(&o.ports.Kafka, "kafka-port", devstack.DefaultKafkaPort, "port of Kafka")
	flags.IntVar(&o.ports.Venue, "venue-port", devstack.DefaultVenuePort, "port of the demo venue")
	flags.IntVar(&o.port, "port", 0, "port of the service's gRPC server (default PORT, or 50052)")
	flags.IntVar(&o.metricsPort, "metrics-port", 0, "port of its metrics (default METRICS_PORT, or 9092)")
	if err := parse(flags, args); err != nil {
		return o, nil, err
	}
	environ := append([]string{"ENV=" + config.Development}, env.Environ...)
	for name, value := range map[string]string{
		"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": strconv.Itoa(o.ports.Postgres),
		"POSTGRES_DB": devstack.PostgresDatabase, "POSTGRES_USER": devstack.PostgresUser,
		"POSTGRES_PASSWORD": devstack.PostgresPassword, "POSTGRES_SSLMODE": "disable",
		"REDIS_ADDR": local(o.ports.Redis), "REDIS_PASSWORD": "", "REDIS_MASTER": "",
		"KAFKA_BROKERS": local(o.ports.Kafka), "KAFKA_TOPIC_REPLICATION": "1",
		"GRPC_VENUE_ADDR": local(o.ports.Venue),
	} {
		environ = append(environ, name+"="+value)
	}
	if o.port != 0 {
		environ = append(environ, "PORT="+strconv.Itoa(o.port))
	}
	if o.metricsPort != 0 {
		environ = append(environ, "METRICS_PORT="+strconv.Itoa(o.metricsPort))
	}
	cfg, err := config.Load(environ)
	return o, cfg, err
}

func (o devOptions) portUses(cfg *config.Config) []devstack.PortUse {
	return []devstack.PortUse{
		{Port: cfg.Port, For: "the service's gRPC server", Option: "--port", Everywhere: true},
		{Port: cfg.MetricsPort, For: "the service's metrics", Option: "--metrics-port", Everywhere: true},
		{Port: o.ports.Postgres, For: "PostgreSQL", Option: "--postgres-port"},
		{Port: o.ports.Redis, For: "Redis", Option: "--redis-port"},
		{Port: o.ports.Kafka, For: "Kafka", Option: "--kafka-port"},
		{Port: o.ports.Venue, For: "the demo venue", Option: "--venue-port"},
	}
}

// local is the address of a port of this machine. It is an IP address, as some clients try ::1 for
// localhost first.
func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// The create has an idempotency key, so that it can be tried again.
var greeting = template.Must(template.New("").Parse(`
booking-svc is ready
  gRPC        {{.GRPC}}
  metrics     http://{{.Metrics}}/metrics (also /healthz, /readyz, /log-level)
  PostgreSQL  {{.Postgres}}
  Redis       {{.Redis}}
  Kafka       {{.Kafka}}
  venue       {{.Venue}} (venue {{.Place}}, {{.Tables}} tables)

Try, in another terminal:
  grpcurl -plaintext -d '{"venue_id":"{{.Place}}","table":{"table_id":"{{.Table}}"},"slot":{"date":"{{.Date}}","start_time":"19:00"},"party_size":2,"customer_name":"Ada","idempotency_key":"try-{{.Date}}"}' {{.GRPC}} booking.BookingService/CreateBooking
  kcat -C -q -e -b {{.Kafka}} -t booking.held -o beginning -f '%k %s\n'
  psql '{{.Postgres}}' -c 'SELECT id, table_id, starts_at, status FROM bookings ORDER BY id DESC LIMIT 10'

The evening of a full house: booking-svc demo (or make demo). Ctrl-C stops everything.

`))

// greet prints the addresses and what to try.
func greet(w io.Writer, cfg *config.Config, stack *devstack.Stack, now time.Time) error {
	place := devstack.DemoPlace()
	text := &strings.Builder{}
	err := greeting.Execute(text, map[string]any{
		"GRPC": local(cfg.Port), "Metrics": local(cfg.MetricsPort), "Postgres": stack.Postgres.URL,
		"Redis": stack.Redis.Addr, "Kafka": stack.Kafka.Broker, "Venue": stack.Venue.Addr(),
		"Place": place.ID, "Table": place.Tables[0].ID, "Tables": len(place.Tables),
		"Date": now.AddDate(0, 0, 1).Format(time.DateOnly),
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text.String())
	return err
}
