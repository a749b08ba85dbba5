package tracing

import (
	"context"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// rootsOnly makes spans only where they are received, or where a trace gets its id: within a trace that
// nobody records, spans carry on the context of the first. Of the SDK, each costs an id, a context and a
// decision of the sampler, which for a create without an exporter came to 7 % of the service's time.
type rootsOnly struct {
	embedded.TracerProvider
	sdk trace.TracerProvider
	// exports tells whether sampled spans are received by anybody.
	exports bool
}

// Tracer implements trace.TracerProvider.
func (p rootsOnly) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return rootsOnlyTracer{sdk: p.sdk.Tracer(name, options...), exports: p.exports}
}

type rootsOnlyTracer struct {
	embedded.Tracer
	sdk     trace.Tracer
	exports bool
}

// Start implements trace.Tracer.
func (t rootsOnlyTracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	if parent := trace.SpanContextFromContext(ctx); parent.IsValid() && (!t.exports || !parent.IsSampled()) {
		return noop.Tracer{}.Start(ctx, name)
	}
	return t.sdk.Start(ctx, name, options...)
}
