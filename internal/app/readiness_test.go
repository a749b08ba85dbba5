package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

// fakeDependencies are two that are needed and one that is not; their errors can be set.
type fakeDependencies struct {
	postgres, redis error
	log             bytes.Buffer
	up              upByName
	health          *health.Server
}

// upByName is what the looks found, as the metrics were told it.
type upByName map[string]bool

func (u upByName) SetDependency(name string, up bool) { u[name] = up }

func (f *fakeDependencies) readiness() *readiness {
	f.health, f.up = health.NewServer(), upByName{}
	return newReadiness(f.health, zerolog.New(&f.log), f.up,
		dependency{"postgres", true, func(context.Context) error { return f.postgres }},
		dependency{"redis", false, func(context.Context) error { return f.redis }},
	)
}

func (f *fakeDependencies) requireHealth(t *testing.T, want healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	for _, service := range []string{"", "booking.BookingService"} {
		answer, err := f.health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		require.NoError(t, err)
		require.Equal(t, want, answer.Status, "service %q", service)
	}
}

// lookAll is one turn of readiness.run.
func lookAll(ctx context.Context, r *readiness) {
	for _, d := range r.dependencies {
		r.look(ctx, d)
	}
}

func get(t *testing.T, h http.Handler) (int, readinessReport) {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	var report readinessReport
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &report))
	require.Equal(t, "application/json", recorder.Header().Get("Content-Type"))
	return recorder.Code, report
}

func TestReadinessFollowsTheDependencies(t *testing.T) {
	f := &fakeDependencies{}
	r := f.readiness()

	f.requireHealth(t, healthpb.HealthCheckResponse_NOT_SERVING)
	require.Empty(t, f.up, "nothing is known yet")
	code, report := get(t, r)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, map[string]string{"postgres": "missing", "redis": "degraded"}, report.Dependencies)

	lookAll(t.Context(), r)
	f.requireHealth(t, healthpb.HealthCheckResponse_SERVING)
	code, report = get(t, r)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, readinessReport{Status: "ready", Dependencies: map[string]string{"postgres": "ok", "redis": "ok"}}, report)
	select {
	case <-r.firstReady:
	default:
		require.Fail(t, "firstReady is still open")
	}

	f.redis = errors.New("connection refused")
	lookAll(t.Context(), r)
	lookAll(t.Context(), r)
	f.requireHealth(t, healthpb.HealthCheckResponse_SERVING)
	code, report = get(t, r)
	require.Equal(t, http.StatusOK, code, "Redis is not needed")
	require.Equal(t, "degraded", report.Dependencies["redis"])
	require.Equal(t, upByName{"postgres": true, "redis": false}, f.up)
	require.Equal(t, 1, bytes.Count(f.log.Bytes(), []byte(`"dependency":"redis"`)), "logged once, not at each look")

	f.postgres = errors.New("connection refused")
	lookAll(t.Context(), r)
	f.requireHealth(t, healthpb.HealthCheckResponse_NOT_SERVING)
	code, report = get(t, r)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "missing", report.Dependencies["postgres"])

	f.postgres, f.redis = nil, nil
	lookAll(t.Context(), r)
	f.requireHealth(t, healthpb.HealthCheckResponse_SERVING)
	require.Contains(t, f.log.String(), "Dependency is back")
}

func TestReadinessSaysHowToMigrate(t *testing.T) {
	f := &fakeDependencies{postgres: &schemaError{have: 0, need: 1}}
	r := f.readiness()
	lookAll(t.Context(), r)

	code, report := get(t, r)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, report.Advice, "booking-svc migrate up")
	require.Contains(t, f.log.String(), `"level":"error"`)
	require.Contains(t, f.log.String(), "booking-svc migrate up")
	f.requireHealth(t, healthpb.HealthCheckResponse_NOT_SERVING)
}

func TestReadinessStopsForGood(t *testing.T) {
	f := &fakeDependencies{}
	r := f.readiness()
	lookAll(t.Context(), r)
	r.stop()
	lookAll(t.Context(), r)

	f.requireHealth(t, healthpb.HealthCheckResponse_NOT_SERVING)
	code, report := get(t, r)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "stopping", report.Status)
}

func TestReadinessIgnoresALookThatWasBrokenOff(t *testing.T) {
	f := &fakeDependencies{}
	r := f.readiness()
	lookAll(t.Context(), r)
	f.postgres = context.Canceled
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lookAll(ctx, r)
	f.requireHealth(t, healthpb.HealthCheckResponse_SERVING)
}

// A dependency that does not answer, as a host that swallows packets, hides nothing.
func TestReadinessLooksAtEachOnItsOwn(t *testing.T) {
	hangs := dependency{"kafka", false, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	answers := dependency{"postgres", true, func(context.Context) error { return nil }}
	r := newReadiness(health.NewServer(), zerolog.Nop(), metrics.New(prometheus.NewRegistry()), hangs, answers)
	require.Error(t, r.problem("postgres"), "nothing is known yet")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.run(ctx); close(done) }()
	select {
	case <-r.firstReady:
	case <-time.After(checkTimeout):
		require.Fail(t, "not ready, for a dependency that is not needed")
	}
	require.NoError(t, r.problem("postgres"))
	cancel()
	<-done
}
