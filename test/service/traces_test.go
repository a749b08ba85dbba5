//go:build integration

package service

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// spans receives traces as a collector does, and keeps the names of the spans of each trace.
type spans struct {
	mu      sync.Mutex
	byTrace map[string][]string
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
				s.byTrace[id] = append(s.byTrace[id], span.Name)
			}
		}
	}
	w.WriteHeader(http.StatusOK)
}

// A request's trace holds the call in and out, SQL, Redis, the use case, and the event that the relay
// sends later; and no guest.
func TestTrace(t *testing.T) {
	t.Parallel()
	sink := &spans{byTrace: make(map[string][]string)}
	server := httptest.NewServer(sink)
	defer server.Close()
	s := newStack(t)
	p := s.start(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	ctx := metadata.AppendToOutgoingContext(context10s(t), "traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	req := s.request(s.venue.table2, "19:30", 2)
	req.CustomerName, req.CustomerPhone = "Zaphod Beeblebrox", "+42 4242 4242"
	b, err := p.bookings.CreateBooking(ctx, req)
	require.NoError(t, err)
	require.Equal(t, trace, readEvents(t, b.Id, 1)[0].event.Headers.TraceId)
	require.Zero(t, p.stop(20*time.Second)) // what is not yet exported is now

	sink.mu.Lock()
	defer sink.mu.Unlock()
	names := strings.Join(sink.byTrace[trace], "\n")
	for _, want := range []string{
		"booking.BookingService/CreateBooking", // the call in
		"venue.VenueService/CheckAvailability", // the call out
		"CreateBooking\n",                      // the use case
		"with\n",                               // SQL, by its first word
		"set",                                  // Redis
		"booking.held publish",                 // Kafka
	} {
		require.Contains(t, strings.ToLower(names+"\n"), strings.ToLower(want))
	}
	require.Contains(t, sink.bytes.String(), "INSERT INTO bookings", "the statement, without its parameters")
	for _, secret := range []string{"Zaphod", "4242"} {
		require.NotContains(t, sink.bytes.String(), secret)
	}
}
