//go:build integration

package service

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// spans receives traces as a collector does, and keeps the spans of each trace.
type spans struct {
	mu      sync.Mutex
	byTrace map[string][]*tracepb.Span
	bytes   strings.Builder
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes.Write(body)
	for _, resource := range req.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				id := hex.EncodeToString(span.TraceId)
				s.byTrace[id] = append(s.byTrace[id], span)
			}
		}
	}
	w.WriteHeader(http.StatusOK)
}

// within tells whether a span is below another, or is it.
func within(spans []*tracepb.Span, span *tracepb.Span, id string) bool {
	for {
		if hex.EncodeToString(span.SpanId) == id {
			return true
		}
		i := slices.IndexFunc(spans, func(s *tracepb.Span) bool { return bytes.Equal(s.SpanId, span.ParentSpanId) })
		if i < 0 {
			return hex.EncodeToString(span.ParentSpanId) == id
		}
		span = spans[i]
	}
}

// A request's trace holds the call in and out, SQL, Redis, the use case, and the event that the relay
// sends later, from whose span a consumer goes on; and no guest.
func TestTrace(t *testing.T) {
	t.Parallel()
	sink := &spans{byTrace: make(map[string][]*tracepb.Span)}
	server := httptest.NewServer(sink)
	defer server.Close()
	s := newStack(t)
	p := s.start(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL)
	const trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	ctx := metadata.AppendToOutgoingContext(context10s(t), "traceparent", "00-"+trace+"-"+caller+"-01")
	req := s.request(s.venue.table2, "19:30", 2)
	req.CustomerName, req.CustomerPhone = "Zaphod Beeblebrox", "+42 4242 4242"
	b, err := p.bookings.CreateBooking(ctx, req)
	require.NoError(t, err)
	event := readEvents(t, b.Id, 1)[0]
	require.Equal(t, trace, event.event.Headers.TraceId)
	require.Zero(t, p.stop(20*time.Second)) // what is not yet exported is now

	sink.mu.Lock()
	defer sink.mu.Unlock()
	spans := sink.byTrace[trace]
	// named answers the one span whose name begins so.
	named := func(prefix string) *tracepb.Span {
		t.Helper()
		var names []string
		for _, span := range spans {
			if strings.HasPrefix(strings.ToLower(span.Name), prefix) {
				return span
			}
			names = append(names, span.Name)
		}
		require.Fail(t, "no span "+prefix, names)
		return nil
	}
	request := named("booking.bookingservice/createbooking")
	require.Equal(t, caller, hex.EncodeToString(request.ParentSpanId))
	for _, name := range []string{
		"venue.venueservice/checkavailability", // the call out
		"createbooking",                        // the use case
		"with",                                 // SQL, by its first word
		"set",                                  // Redis
		"booking.held publish",                 // Kafka
	} {
		require.True(t, within(spans, named(name), hex.EncodeToString(request.SpanId)), "%s is not below the request", name)
	}
	// A consumer goes on from the span of the publishing.
	parent := strings.Split(event.headers["traceparent"], "-")
	require.Len(t, parent, 4)
	require.Equal(t, []string{"00", trace, "01"}, []string{parent[0], parent[1], parent[3]})
	i := slices.IndexFunc(spans, func(s *tracepb.Span) bool { return hex.EncodeToString(s.SpanId) == parent[2] })
	require.GreaterOrEqual(t, i, 0, "no such span in the request's trace")
	require.Equal(t, "booking.held publish", spans[i].Name)
	require.Equal(t, tracepb.Span_SPAN_KIND_PRODUCER, spans[i].Kind)
	require.Contains(t, sink.bytes.String(), "INSERT INTO bookings", "the statement, without its parameters")
	// With the blank: ids are hexadecimal, and now and then one has these digits.
	for _, secret := range []string{"Zaphod", "4242 4242"} {
		require.NotContains(t, sink.bytes.String(), secret)
	}
}
