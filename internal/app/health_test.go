package app

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// serveOperators serves handler on a port of this machine and answers it.
func serveOperators(t *testing.T, handler http.Handler) int {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return port
}

func TestHealthIsReadiness(t *testing.T) {
	f := &fakeDependencies{redis: errors.New("away")}
	r := f.readiness()
	mux := http.NewServeMux()
	mux.Handle("GET /readyz", r)
	port := serveOperators(t, mux)

	_, err := AskHealth(t.Context(), port)
	require.EqualError(t, err, "not ready: postgres missing, redis degraded", "nothing is known yet")

	lookAll(t.Context(), r)
	line, err := AskHealth(t.Context(), port)
	require.NoError(t, err)
	require.Equal(t, "ready: postgres ok, redis degraded", line)

	f.postgres = &schemaError{have: 1, need: 2}
	lookAll(t.Context(), r)
	_, err = AskHealth(t.Context(), port)
	require.EqualError(t, err, "not ready: postgres missing, redis degraded; "+f.postgres.Error())

	r.stop()
	_, err = AskHealth(t.Context(), port)
	require.ErrorContains(t, err, "stopping: ")
}

func TestHealthOfNothingAndOfSomethingElse(t *testing.T) {
	port := testenv.FreePort(t)
	_, err := AskHealth(t.Context(), port)
	require.ErrorContains(t, err, "no answer at METRICS_PORT "+strconv.Itoa(port)+": ")
	require.ErrorContains(t, err, "connection refused")

	for _, body := range []string{"hello", `{"pages":3}`, ""} {
		port := serveOperators(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		_, err := AskHealth(t.Context(), port)
		require.EqualError(t, err, "what answers at METRICS_PORT "+strconv.Itoa(port)+" is not booking-svc", body)
	}
}

func TestHealthDoesNotWaitForEver(t *testing.T) {
	port := serveOperators(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	_, err := AskHealth(t.Context(), port)
	require.EqualError(t, err, "no answer at METRICS_PORT "+strconv.Itoa(port)+" within 3s")
}
