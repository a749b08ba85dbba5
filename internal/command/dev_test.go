//go:build !nodev

package command

import (
	"bytes"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
)

func TestDevSettings(t *testing.T) {
	t.Parallel()
	env := Env{Environ: []string{"PORT=1001", "HOLD_TTL_MINUTES=3", "POSTGRES_HOST=elsewhere", "REDIS_PASSWORD=secret"}, Stderr: &bytes.Buffer{}}

	_, cfg, err := devSettings(env, nil)
	require.NoError(t, err)
	require.Equal(t, 1001, cfg.Port, "from the environment")
	require.Equal(t, 9092, cfg.MetricsPort)
	require.Equal(t, 3, cfg.HoldTTLMinutes)
	require.Equal(t, config.Development, cfg.Env)
	require.Equal(t, "127.0.0.1", cfg.PostgresHost, "dev has its own neighbours")
	require.Equal(t, devstack.DefaultPostgresPort, cfg.PostgresPort)
	require.Empty(t, string(cfg.RedisPassword))
	require.Equal(t, []string{"127.0.0.1:25379"}, cfg.RedisAddr)

	o, cfg, err := devSettings(env, []string{
		"--port=1", "--metrics-port=2", "--postgres-port=3", "--redis-port=4", "--kafka-port=5", "--venue-port=6", "--reset", "--data=x",
	})
	require.NoError(t, err)
	require.Equal(t, []any{1, 2, 3}, []any{cfg.Port, cfg.MetricsPort, cfg.PostgresPort})
	require.Equal(t, []string{"127.0.0.1:4"}, cfg.RedisAddr)
	require.Equal(t, []string{"127.0.0.1:5"}, cfg.KafkaBrokers)
	require.Equal(t, "127.0.0.1:6", cfg.GRPCVenueAddr)
	require.True(t, o.reset)
	require.Equal(t, "x", o.data)
	ports := make(map[int]bool)
	for _, u := range o.portUses(cfg) {
		ports[u.Port] = true
	}
	require.Len(t, ports, 6, "every port is checked before the start")
}

func TestDevRefusesItsCommandLine(t *testing.T) {
	t.Parallel()
	var usage *usageError
	for _, args := range [][]string{{"--port=x"}, {"--unknown"}, {"now"}} {
		_, _, err := devSettings(Env{Stderr: &bytes.Buffer{}}, args)
		require.ErrorAs(t, err, &usage)
	}
	help := &bytes.Buffer{}
	_, _, err := devSettings(Env{Stderr: help}, []string{"--help"})
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, help.String(), "-kafka-port")

	_, _, err = devSettings(Env{Environ: []string{"HOLD_TTL_MINUTES=soon"}, Stderr: &bytes.Buffer{}}, nil)
	require.ErrorContains(t, err, "HOLD_TTL_MINUTES")
}

func TestGreet(t *testing.T) {
	t.Parallel()
	redis, err := devstack.StartRedis(0)
	require.NoError(t, err)
	defer redis.Stop()
	kafka, err := devstack.StartKafka(t.TempDir(), 0)
	require.NoError(t, err)
	defer kafka.Stop()
	venue, err := devstack.NewVenue(devstack.VenueOptions{})
	require.NoError(t, err)
	defer venue.Stop()
	stack := &devstack.Stack{
		Postgres: &devstack.Postgres{URL: "postgres://u:p@127.0.0.1:5/d"}, Redis: redis, Kafka: kafka, Venue: venue,
	}
	out := &bytes.Buffer{}
	require.NoError(t, greet(out, &config.Config{Port: 7, MetricsPort: 8}, stack, time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)))
	for _, part := range []string{
		"127.0.0.1:7 booking.BookingService/CreateBooking", "http://127.0.0.1:8/metrics", `"date":"2027-01-01"`,
		"kcat -C -q -e -b " + kafka.Broker, "psql 'postgres://u:p@127.0.0.1:5/d'", redis.Addr, venue.Addr(),
	} {
		require.Contains(t, out.String(), part)
	}
	require.NotContains(t, strings.ToLower(out.String()), "<no value>")
}

func TestServicePort(t *testing.T) {
	t.Parallel()
	port, err := servicePort([]string{"PORT=77", "METRICS_PORT=77", "ENV=nonsense"})
	require.NoError(t, err)
	require.Equal(t, 77, port)
	port, err = servicePort(nil)
	require.NoError(t, err)
	require.Equal(t, 50052, port)
	_, err = servicePort([]string{"PORT=x"})
	require.ErrorContains(t, err, "PORT")
}
