// Package tracing sets OpenTelemetry up.
package tracing

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Options say what becomes of traces.
type Options struct {
	// Service and Version are the resource of every span.
	Service string
	Version string
	// Endpoint is the base URL of an OTLP receiver over HTTP; empty exports nothing.
	Endpoint string
	// Ratio is the part of the traces begun here that is exported, 0 to 1. A trace begun elsewhere
	// is exported when the caller exports it.
	Ratio float64
}

// InitTracer sets the process's tracer and its way to hand traces on: the W3C headers. Every
// request has a trace id, also when nothing is exported. shutdown sends what is waiting.
func InitTracer(ctx context.Context, o Options, log zerolog.Logger) (shutdown func(context.Context) error, err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(
		propagation.TraceContext{}, propagation.Baggage{}))
	if o.Endpoint == "" {
		// Spans that nobody receives only carry their ids. Nothing is to be shut down, and with it
		// none of the tracers that other parts of the process took from here.
		// What a caller decided about its trace is handed on.
		otel.SetTracerProvider(rootsOnly{sdk: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))})
		return func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(tracesURL(o.Endpoint)))
	if err != nil {
		return nil, fmt.Errorf("OTLP exporter: %w", err)
	}
	res, err := resource.Merge(resource.Default(), resource.NewSchemaless(
		attribute.String("service.name", o.Service), attribute.String("service.version", o.Version)))
	if err != nil {
		return nil, fmt.Errorf("trace resource: %w", err)
	}
	otel.SetErrorHandler(quietly(log, time.Minute))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(res),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Ratio))),
	)
	otel.SetTracerProvider(rootsOnly{sdk: provider, exports: true})
	return provider.Shutdown, nil
}

// quietly logs an error of the exporter, at most one each interval: a receiver that is away must
// not fill the log.
func quietly(log zerolog.Logger, interval time.Duration) otel.ErrorHandler {
	var last atomic.Int64
	return otel.ErrorHandlerFunc(func(err error) {
		now, before := time.Now().UnixNano(), last.Load()
		if (before == 0 || now-before >= int64(interval)) && last.CompareAndSwap(before, now) {
			log.Warn().Err(err).Msg("Failed to export traces")
		}
	})
}

// tracesURL adds the standard's path to the base URL of a receiver.
func tracesURL(endpoint string) string {
	const path = "/v1/traces"
	if endpoint = strings.TrimRight(endpoint, "/"); strings.HasSuffix(endpoint, path) {
		return endpoint
	}
	return endpoint + path
}

// FromJaeger answers the OTLP receiver on the host of a Jaeger collector's old URL: Jaeger takes
// OTLP over HTTP on port 4318, and OpenTelemetry has no exporter for the old way any more.
func FromJaeger(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("%q is no URL of a Jaeger collector", endpoint)
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), "4318"), nil
}
