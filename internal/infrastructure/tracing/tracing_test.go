package tracing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// sink receives spans as an OTLP collector does.
type sink struct {
	*httptest.Server
	requests chan *collectorpb.ExportTraceServiceRequest
}

func newSink(t *testing.T) *sink {
	s := &sink{requests: make(chan *collectorpb.ExportTraceServiceRequest, 10)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := &collectorpb.ExportTraceServiceRequest{}
		if r.URL.Path != "/v1/traces" || err != nil || proto.Unmarshal(body, request) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.requests <- request
	}))
	t.Cleanup(s.Close)
	return s
}

func TestSpansAreExported(t *testing.T) {
	s := newSink(t)
	shutdown, err := InitTracer(t.Context(), Options{
		Service: "booking-svc", Version: "v1.2.3", Endpoint: s.URL + "/", Ratio: 1,
	}, zerolog.Nop())
	require.NoError(t, err)
	_, span := otel.Tracer("test").Start(t.Context(), "CreateBooking")
	require.True(t, span.SpanContext().IsSampled())
	span.End()
	require.NoError(t, shutdown(t.Context()))

	select {
	case request := <-s.requests:
		spans := request.ResourceSpans[0]
		attributes := make(map[string]string)
		for _, a := range spans.Resource.Attributes {
			attributes[a.Key] = a.Value.GetStringValue()
		}
		require.Equal(t, "booking-svc", attributes["service.name"])
		require.Equal(t, "v1.2.3", attributes["service.version"])
		sent := spans.ScopeSpans[0].Spans[0]
		require.Equal(t, "CreateBooking", sent.Name)
		id := span.SpanContext().TraceID()
		require.Equal(t, id[:], sent.TraceId)
	default:
		require.Fail(t, "no span arrived before shutdown returned")
	}
}

func TestTraceIDsExistWithoutAnEndpoint(t *testing.T) {
	shutdown, err := InitTracer(t.Context(), Options{Service: "booking-svc"}, zerolog.Nop())
	require.NoError(t, err)
	require.NoError(t, shutdown(t.Context()))
	ctx, span := otel.Tracer("test").Start(t.Context(), "CreateBooking")
	defer span.End()
	require.True(t, span.SpanContext().HasTraceID(), "also after shutdown")
	require.False(t, span.SpanContext().IsSampled())

	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	require.Contains(t, carrier["traceparent"], span.SpanContext().TraceID().String())
}

func TestCallersDecisionIsKept(t *testing.T) {
	for _, endpoint := range []string{"", newSink(t).URL} {
		shutdown, err := InitTracer(t.Context(), Options{Service: "booking-svc", Endpoint: endpoint, Ratio: 0}, zerolog.Nop())
		require.NoError(t, err)
		incoming := propagation.MapCarrier{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		ctx := otel.GetTextMapPropagator().Extract(t.Context(), incoming)
		_, span := otel.Tracer("test").Start(ctx, "CreateBooking")
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext().TraceID().String())
		require.Equal(t, trace.FlagsSampled, span.SpanContext().TraceFlags())
		span.End()
		require.NoError(t, shutdown(t.Context()))
	}
}

func TestReceiverThatIsAwayIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	handler := quietly(zerolog.New(&out), time.Hour)
	for range 3 {
		handler.Handle(errors.New("connection refused"))
	}
	require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")), out.String())
}

func TestShutdownIsLimited(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	shutdown, err := InitTracer(t.Context(), Options{Service: "booking-svc", Endpoint: server.URL, Ratio: 1}, zerolog.Nop())
	require.NoError(t, err)
	_, span := otel.Tracer("test").Start(t.Context(), "CreateBooking")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, shutdown(ctx))
}

func TestFromJaeger(t *testing.T) {
	for given, want := range map[string]string{
		"http://localhost:14268/api/traces": "http://localhost:4318",
		"https://jaeger/api/traces":         "https://jaeger:4318",
		"http://[::1]:14268/api/traces":     "http://[::1]:4318",
	} {
		got, err := FromJaeger(given)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, given := range []string{"", "jaeger:14268", "http://", "::"} {
		_, err := FromJaeger(given)
		require.Error(t, err, given)
	}
}

// Spans are made where somebody receives them, or where a trace gets its id.
func TestSpansThatNobodyReceivesAreNotMade(t *testing.T) {
	for _, test := range []struct {
		name     string
		endpoint string
		ratio    float64
		made     bool
	}{
		{"no exporter", "", 1, false},
		{"not sampled", newSink(t).URL, 0, false},
		{"sampled", newSink(t).URL, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			shutdown, err := InitTracer(t.Context(), Options{Service: "booking-svc", Endpoint: test.endpoint, Ratio: test.ratio}, zerolog.Nop())
			require.NoError(t, err)
			ctx, root := otel.Tracer("test").Start(t.Context(), "call")
			ctx, child := otel.Tracer("test").Start(ctx, "statement")
			require.Equal(t, root.SpanContext().TraceID(), child.SpanContext().TraceID())
			require.Equal(t, test.made, root.SpanContext().SpanID() != child.SpanContext().SpanID())
			require.Equal(t, test.made, child.IsRecording())
			require.Equal(t, child.SpanContext(), trace.SpanContextFromContext(ctx))
			child.End()
			root.End()
			require.NoError(t, shutdown(t.Context()))
		})
	}
}
