package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/health"

	grpcadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/grpc"
)

const (
	// checkInterval is the time between two looks at the dependencies.
	checkInterval = time.Second
	// checkTimeout limits one look. It leaves room for a pool that is busy for a moment.
	checkTimeout = 2 * time.Second
)

// States of a dependency.
const (
	stateOK = "ok"
	// stateDegraded: away, and the service goes on without it.
	stateDegraded = "degraded"
	// stateMissing: away, and needed.
	stateMissing = "missing"
)

// schemaError says that the database lacks migrations that this binary needs.
type schemaError struct{ have, need int64 }

func (e *schemaError) Error() string {
	return fmt.Sprintf("the schema is at version %d, this version of the service needs %d: run booking-svc migrate up", e.have, e.need)
}

// dependency is a part that the service needs, or is better off with.
type dependency struct {
	name   string
	needed bool
	// check answers nil when the dependency can be used.
	check func(context.Context) error
}

// dependencyMetrics take what the looks find.
type dependencyMetrics interface{ SetDependency(name string, up bool) }

// readiness keeps an eye on the dependencies and tells gRPC health and /readyz what came of it.
type readiness struct {
	dependencies []dependency
	health       *health.Server
	log          zerolog.Logger
	metrics      dependencyMetrics
	// firstReady is closed when all that is needed is there for the first time.
	firstReady chan struct{}

	mu       sync.Mutex
	ready    bool
	once     bool
	stopping bool
	// errs holds what the last look at a dependency found, by its name; nothing before the first.
	errs map[string]error
}

func newReadiness(h *health.Server, log zerolog.Logger, m dependencyMetrics, dependencies ...dependency) *readiness {
	r := &readiness{dependencies: dependencies, health: h, log: log, metrics: m, firstReady: make(chan struct{}), errs: make(map[string]error)}
	grpcadapter.SetServing(h, false)
	return r
}

// run looks at the dependencies until ctx is done. Each is looked at on its own: one that does not
// answer must not hide what becomes of the others.
func (r *readiness) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, d := range r.dependencies {
		wg.Go(func() {
			ticker := time.NewTicker(checkInterval)
			defer ticker.Stop()
			for {
				r.look(ctx, d)
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
			}
		})
	}
	wg.Wait()
}

// unsampled is the parent of the spans of checks: they are of no interest, and one a second.
var unsampled = trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})

// look asks a dependency once.
func (r *readiness) look(ctx context.Context, d dependency) {
	limited, cancel := context.WithTimeout(trace.ContextWithSpanContext(ctx, unsampled), checkTimeout)
	defer cancel()
	err := d.check(limited)
	if ctx.Err() == nil { // else the check was broken off
		r.update(d, err)
	}
}

// update takes over what a look found, and logs what has changed.
func (r *readiness) update(d dependency, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return
	}
	before, known := r.errs[d.name]
	switch {
	case err != nil && before == nil:
		r.logMissing(d, err)
	case err == nil && known && before != nil:
		r.log.Info().Str("dependency", d.name).Msg("Dependency is back")
	}
	r.errs[d.name] = err
	r.metrics.SetDependency(d.name, err == nil)

	ready := true
	for _, d := range r.dependencies {
		err, known := r.errs[d.name]
		ready = ready && (!d.needed || known && err == nil)
	}
	if ready == r.ready {
		return
	}
	r.ready = ready
	grpcadapter.SetServing(r.health, ready)
	r.log.Info().Bool("ready", ready).Msg("Readiness changed")
	if ready && !r.once {
		r.once = true
		close(r.firstReady)
	}
}

func (r *readiness) logMissing(d dependency, err error) {
	var schema *schemaError
	switch {
	case errors.As(err, &schema):
		r.log.Error().Err(err).Msg("Database schema is too old: run `booking-svc migrate up`")
	case d.needed:
		r.log.Error().Str("dependency", d.name).Str("error", OneLine(err)).Msg("Dependency is missing")
	default:
		r.log.Warn().Str("dependency", d.name).Str("error", OneLine(err)).Msg("Dependency is away, going on without it")
	}
}

// stop makes the service not ready for good.
func (r *readiness) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping, r.ready = true, false
	r.health.Shutdown()
}

// problem answers why a dependency cannot be used, nil when it can.
func (r *readiness) problem(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err, known := r.errs[name]; known {
		return err
	}
	return errors.New("no answer yet")
}

// readinessReport is the answer of /readyz.
type readinessReport struct {
	// Status is ready, not ready or stopping.
	Status string `json:"status"`
	// Dependencies has ok, degraded (away, not needed) or missing (away, needed) for each.
	Dependencies map[string]string `json:"dependencies"`
	// Advice says what an operator has to do, when only one can.
	Advice string `json:"advice,omitempty"`
}

func (r *readiness) report() (report readinessReport, ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report = readinessReport{Status: "not ready", Dependencies: make(map[string]string)}
	switch {
	case r.stopping:
		report.Status = "stopping"
	case r.ready:
		report.Status = "ready"
	}
	for _, d := range r.dependencies {
		err, known := r.errs[d.name]
		switch {
		case known && err == nil:
			report.Dependencies[d.name] = stateOK
		case d.needed:
			report.Dependencies[d.name] = stateMissing
		default:
			report.Dependencies[d.name] = stateDegraded
		}
		var schema *schemaError
		if errors.As(err, &schema) {
			report.Advice = schema.Error()
		}
	}
	return report, r.ready
}

// ServeHTTP answers /readyz: 200 when all that is needed is there, else 503.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	report, ready := r.report()
	w.Header().Set("Content-Type", "application/json")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// An error here means that the caller has gone.
	_ = json.NewEncoder(w).Encode(report)
}
