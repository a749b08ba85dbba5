package app

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/logging"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings are those of a service all of whose neighbours are away, changed by more.
func settings(t *testing.T, more ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(append([]string{
		"PORT=" + strconv.Itoa(testenv.FreePort(t)), "METRICS_PORT=" + strconv.Itoa(testenv.FreePort(t)),
		"POSTGRES_HOST=127.0.0.1", "POSTGRES_PORT=1", "POSTGRES_PASSWORD=hush", "REDIS_ADDR=127.0.0.1:1",
		"KAFKA_BROKERS=127.0.0.1:1", "GRPC_VENUE_ADDR=127.0.0.1:1", "SHUTDOWN_TIMEOUT=5s",
	}, more...))
	require.NoError(t, err)
	return cfg
}

// operators serves the operators' endpoints on port, as the command does.
func operators(port int, handler http.Handler) (func(context.Context) error, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	return server.Shutdown, nil
}

func TestWithoutPostgresTheStartFails(t *testing.T) {
	var log testenv.Buffer
	ready := func() { t.Error("ready without PostgreSQL") }
	start := time.Now()
	err := Serve(t.Context(), settings(t, "STARTUP_TIMEOUT=1s"), zerolog.New(&log), logging.NewLevel(zerolog.InfoLevel), operators, ready)
	require.ErrorContains(t, err, "PostgreSQL at 127.0.0.1:1 did not answer within STARTUP_TIMEOUT (1s): ")
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error()+log.String(), "hush")
	require.Less(t, time.Since(start), 5*time.Second)
}

func TestPortInUse(t *testing.T) {
	listener, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	defer listener.Close()
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	err = Serve(t.Context(), settings(t, "PORT="+port), zerolog.Nop(), logging.NewLevel(zerolog.InfoLevel), operators, nil)
	require.EqualError(t, err, "PORT: port "+port+" is in use; set PORT to a free one")
}

// An error of the metrics server ends the start, with the gRPC port given back.
func TestMetricsPortInUse(t *testing.T) {
	cfg := settings(t)
	inUse := errors.New("METRICS_PORT: port is in use")
	err := Serve(t.Context(), cfg, zerolog.Nop(), logging.NewLevel(zerolog.InfoLevel),
		func(int, http.Handler) (func(context.Context) error, error) { return nil, inUse }, nil)
	require.ErrorIs(t, err, inUse)
	listener, err := listen(cfg.Port, 0)
	require.NoError(t, err)
	require.NoError(t, listener.Close())
}

// While PostgreSQL is waited for the process lives, says what is missing, and can be stopped.
func TestStopWhileWaitingForPostgres(t *testing.T) {
	for setting, profiled := range map[string]int{"PPROF=off": http.StatusNotFound, "PPROF=on": http.StatusOK} {
		t.Run(setting, func(t *testing.T) { stopWhileWaiting(t, settings(t, setting), profiled) })
	}
}

func stopWhileWaiting(t *testing.T, cfg *config.Config, profiled int) {
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- Serve(ctx, cfg, zerolog.Nop(), logging.NewLevel(zerolog.InfoLevel), operators, nil) }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	status := func(path string) int {
		answer, err := client.Get("http://127.0.0.1:" + strconv.Itoa(cfg.MetricsPort) + path)
		if err != nil {
			return 0
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	require.Eventually(t, func() bool { return status("/healthz") == http.StatusOK }, 5*time.Second, 20*time.Millisecond)
	require.Equal(t, http.StatusServiceUnavailable, status("/readyz"))
	require.Equal(t, http.StatusOK, status("/metrics"))
	require.Equal(t, profiled, status("/debug/pprof/heap"))
	require.Equal(t, http.StatusOK, status("/log-level"))
	cancel()
	require.NoError(t, <-stopped)
}

func TestTraceEndpoint(t *testing.T) {
	for _, test := range []struct{ otlp, jaeger, want, warning string }{
		{"", "", "", ""},
		{"http://otel:4318", "", "http://otel:4318", ""},
		{"", "http://jaeger:14268/api/traces", "http://jaeger:4318", "JAEGER_ENDPOINT is outdated"},
		{"http://otel:4318", "http://jaeger:14268/api/traces", "http://otel:4318", ""},
	} {
		var log bytes.Buffer
		got, err := traceEndpoint(&config.Config{OTLPEndpoint: test.otlp, JaegerEndpoint: test.jaeger}, zerolog.New(&log))
		require.NoError(t, err)
		require.Equal(t, test.want, got)
		if test.warning == "" {
			require.Empty(t, log.String())
		}
		require.Contains(t, log.String(), test.warning)
	}
}

func TestOneLine(t *testing.T) {
	err := errors.Join(errors.New("first:\n\tcause"), errors.New("cause"), errors.New("second"))
	require.Equal(t, "first: cause second", OneLine(err))
}
