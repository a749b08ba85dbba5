package grpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

func get(ctx context.Context, s *running, opts ...grpc.CallOption) error {
	_, err := s.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: "id-1"}, opts...)
	return err
}

func TestPanicIsInternalAndTheServerGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t, &fake{
		create: func(context.Context, booking.CreateCommand) (*dom.Booking, error) { panic(secret) },
		get:    func(context.Context, string) (*dom.Booking, error) { return sampleBooking(), nil },
	})
	_, err := s.CreateBooking(t.Context(), &bookingpb.CreateBookingRequest{CustomerName: "Ada Lovelace"})
	got := status.Convert(err)
	require.Equal(t, codes.Internal, got.Code())
	require.Equal(t, "internal error", got.Message())
	require.NotContains(t, got.String(), secret)
	require.NoError(t, get(t.Context(), s))

	line := s.log.calls(t)[0]
	require.Equal(t, "error", line["level"])
	require.Equal(t, "panic: "+secret, line["error"])
	require.Contains(t, line["stack"], "TestPanicIsInternalAndTheServerGoesOn", "the stack leads to the place")
	require.NotContains(t, s.log.String(), "Ada")
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	var remaining time.Duration
	s := start(t, &fake{get: func(ctx context.Context, _ string) (*dom.Booking, error) {
		deadline, _ := ctx.Deadline() // no deadline is long past
		remaining = time.Until(deadline)
		return sampleBooking(), nil
	}})
	within := func(client time.Duration) time.Duration {
		ctx := t.Context()
		if client > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, client)
			defer cancel()
		}
		require.NoError(t, get(ctx, s))
		return remaining
	}
	for _, client := range []time.Duration{0, time.Hour} {
		d := within(client)
		require.LessOrEqual(t, d, testRequestTimeout)
		require.Greater(t, d, testRequestTimeout-2*time.Second)
	}
	d := within(testRequestTimeout / 2)
	require.LessOrEqual(t, d, testRequestTimeout/2, "a client may have less patience")
}

func TestServerDeadlineEndsACall(t *testing.T) {
	t.Parallel()
	s := startWith(t, &fake{get: func(ctx context.Context, _ string) (*dom.Booking, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.Equal(t, codes.DeadlineExceeded, status.Code(get(ctx, s)))
	require.NoError(t, ctx.Err(), "the client would have waited on")
	require.Equal(t, "warn", s.log.calls(t)[0]["level"])
}

// A change that is under way is not broken off, and its caller is not kept waiting for it.
func TestAnswerComesInTimeWhateverTheHandlerDoes(t *testing.T) {
	t.Parallel()
	written, finished := make(chan struct{}), make(chan struct{})
	s := startWith(t, &fake{get: func(ctx context.Context, _ string) (*dom.Booking, error) {
		defer close(finished)
		<-written
		zerolog.Ctx(ctx).Info().Msg("in the use case")
		return sampleBooking(), nil
	}}, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.Equal(t, codes.DeadlineExceeded, status.Code(get(ctx, s)))
	require.NoError(t, ctx.Err(), "the client would have waited on")
	close(written)
	<-finished
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "gRPC call went on after its answer") },
		5*time.Second, 5*time.Millisecond)
	require.Contains(t, s.log.String(), "in the use case")
}

func TestClientThatGoesAway(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	s := start(t, &fake{get: func(ctx context.Context, _ string) (*dom.Booking, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	require.Equal(t, codes.Canceled, status.Code(get(ctx, s)))
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), `"status":"cancelled"`) },
		5*time.Second, 5*time.Millisecond)
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	var fail error
	s := start(t, &fake{get: func(ctx context.Context, _ string) (*dom.Booking, error) {
		zerolog.Ctx(ctx).Info().Msg("in the use case")
		return sampleBooking(), fail
	}})
	call := func(md metadata.MD) string {
		var header metadata.MD
		_ = get(metadata.NewOutgoingContext(t.Context(), md), s, grpc.Header(&header))
		require.Len(t, header.Get("x-request-id"), 1)
		lines := s.log.calls(t)
		id := header.Get("x-request-id")[0]
		require.Equal(t, id, lines[len(lines)-1]["request_id"])
		return id
	}
	for _, fail = range []error{nil, errors.New("fault"), dom.ErrNotFound} {
		for _, sane := range []string{"a", "req-42", "01HZY3X!~", strings.Repeat("x", 64)} {
			require.Equal(t, sane, call(metadata.Pairs("x-request-id", sane)))
		}
		for _, md := range []metadata.MD{
			{}, metadata.Pairs("x-request-id", ""), metadata.Pairs("x-request-id", strings.Repeat("x", 65)),
			metadata.Pairs("x-request-id", "a b"), metadata.Pairs("x-request-id", "a", "x-request-id", "b"),
		} {
			id, err := uuid.Parse(call(md))
			require.NoError(t, err, "%v", md)
			require.EqualValues(t, 7, id.Version())
		}
	}
	require.Contains(t, s.log.String(), `"request_id":"req-42","method":"GetBooking"`)
	for line := range strings.Lines(s.log.String()) {
		require.Contains(t, line, `"request_id":"`)
		require.Contains(t, line, `"trace_id":"`)
	}
}

func TestSaneRequestID(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", " ", "a\n", "a\x00", "\x7f", "é", strings.Repeat("x", 65)} {
		require.False(t, saneRequestID(bad), "%q", bad)
	}
}

// The trace that the caller began is the one in the log and in the answer to a fault.
func TestTraceIDIsTheCallers(t *testing.T) {
	t.Parallel()
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	s := start(t, &fake{get: func(context.Context, string) (*dom.Booking, error) { return nil, errors.New(secret) }})
	err := get(metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+traceID+"-b7ad6b7169203331-01"), s)
	var request *errdetails.RequestInfo
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RequestInfo); ok {
			request = r
		}
	}
	require.Equal(t, traceID, request.GetRequestId())
	line := s.log.calls(t)[0]
	require.Equal(t, traceID, line["trace_id"])
	require.Equal(t, secret, line["error"])
}

func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	answers := []error{nil, dom.ErrSlotTaken, nil, errors.New("fault")}
	s := start(t, &fake{
		create: func(context.Context, booking.CreateCommand) (*dom.Booking, error) {
			answer := answers[0]
			answers = answers[1:]
			return sampleBooking(), answer
		},
		get: func(context.Context, string) (*dom.Booking, error) { panic("now") },
	})
	for len(answers) > 0 {
		_, _ = s.CreateBooking(t.Context(), &bookingpb.CreateBookingRequest{})
	}
	_ = get(t.Context(), s)
	require.NoError(t, testutil.GatherAndCompare(s.registry, strings.NewReader(`
# HELP grpc_server_requests_total gRPC calls served, by method and status (ok, or the code in snake case).
# TYPE grpc_server_requests_total counter
grpc_server_requests_total{method="CreateBooking",service="booking-svc",status="already_exists"} 1
grpc_server_requests_total{method="CreateBooking",service="booking-svc",status="internal"} 1
grpc_server_requests_total{method="CreateBooking",service="booking-svc",status="ok"} 2
grpc_server_requests_total{method="GetBooking",service="booking-svc",status="internal"} 1
`), "grpc_server_requests_total"))
	require.Equal(t, "debug", s.log.calls(t)[0]["level"], "a call that went well is no news")
}

// No line that the server writes about a call holds what the call says.
func TestLogHoldsNoPersonalData(t *testing.T) {
	t.Parallel()
	answers := []error{nil}
	for _, m := range mappings {
		answers = append(answers, m.err)
	}
	var answer error
	s := start(t, &fake{create: func(context.Context, booking.CreateCommand) (*dom.Booking, error) {
		return sampleBooking(), answer
	}})
	for _, answer = range answers {
		_, _ = s.CreateBooking(t.Context(), &bookingpb.CreateBookingRequest{
			CustomerName: "Grace Hopper", CustomerPhone: "+1 555 0100", Comment: "birthday cake", IdempotencyKey: "key-42",
		})
	}
	require.Len(t, s.log.calls(t), len(answers))
	for _, personal := range []string{"Grace", "+1 555 0100", "birthday", "key-42", "Lovelace", "+49 30 1234567", "window"} {
		require.NotContains(t, s.log.String(), personal)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := start(t, &fake{})
	client := healthpb.NewHealthClient(s.conn)
	requireHealth := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, service := range []string{"", "booking.BookingService"} {
			r, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
			require.NoError(t, err)
			require.Equal(t, want, r.GetStatus(), "%q", service)
		}
	}
	requireHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	SetServing(s.health, true)
	requireHealth(healthpb.HealthCheckResponse_SERVING)
	SetServing(s.health, false)
	requireHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	SetServing(s.health, true)
	s.health.Shutdown()
	requireHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	SetServing(s.health, true)
	requireHealth(healthpb.HealthCheckResponse_NOT_SERVING)

	_, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "no.such"})
	require.Equal(t, codes.NotFound, status.Code(err))
}

func TestReflection(t *testing.T) {
	t.Parallel()
	s := start(t, &fake{})
	stream, err := reflectionpb.NewServerReflectionClient(s.conn).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
	}))
	r, err := stream.Recv()
	require.NoError(t, err)
	var names []string
	for _, service := range r.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	require.Contains(t, names, "booking.BookingService")
	require.Contains(t, names, "grpc.health.v1.Health")
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	require.Error(t, err)
}

func TestStreamPanicIsInternal(t *testing.T) {
	t.Parallel()
	var log logBuffer
	err := recoverStream(zerolog.New(&log))(nil, nil, &grpc.StreamServerInfo{FullMethod: "/grpc.health.v1.Health/Watch"},
		func(any, grpc.ServerStream) error { panic(secret) })
	require.Equal(t, codes.Internal, status.Code(err))
	require.NotContains(t, status.Convert(err).String(), secret)
	require.Contains(t, log.String(), `"method":"Watch"`)
	require.Contains(t, log.String(), "TestStreamPanicIsInternal")
}

// A call that is longer than the server takes, or no message at all, is refused and harms nothing.
func TestRawNonsense(t *testing.T) {
	t.Parallel()
	s := start(t, &fake{get: func(context.Context, string) (*dom.Booking, error) { return sampleBooking(), nil }})
	_, err := s.CreateBooking(t.Context(), &bookingpb.CreateBookingRequest{Comment: strings.Repeat("x", 5<<20)})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	err = s.conn.Invoke(t.Context(), "/booking.BookingService/NoSuchMethod", &bookingpb.GetBookingRequest{}, &bookingpb.Booking{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.NoError(t, get(t.Context(), s))
}

// Whatever comes of a call that takes long, its line names the trace; one that is fast has none.
func TestSlowCallsAreLogged(t *testing.T) {
	var log logBuffer
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	id, err := trace.TraceIDFromHex(traceID)
	require.NoError(t, err)
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}}))
	for _, failure := range []error{nil, dom.ErrNotFound, errors.New("fault")} {
		for limit, slow := range map[time.Duration]bool{20 * time.Millisecond: true, time.Minute: false, 0: false} {
			log.Reset()
			i := interceptors{
				Options: Options{Logger: zerolog.New(&log), Metrics: metrics.New(prometheus.NewRegistry()), SlowCall: limit},
				slow:    &zerolog.BurstSampler{Burst: 1, Period: time.Hour},
			}
			_, _ = i.observe(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/booking.BookingService/GetBooking"},
				func(context.Context, any) (any, error) {
					time.Sleep(25 * time.Millisecond)
					return nil, failure
				})
			require.Equal(t, slow, strings.Contains(log.String(), "Slow gRPC call"), log.String())
			if slow {
				line, _, _ := strings.Cut(log.String(), "\n")
				require.Contains(t, line, `"level":"warn"`)
				require.Contains(t, line, `"method":"GetBooking","trace_id":"`+traceID+`"`)
				require.Contains(t, line, `"duration_ms":`)
			}
		}
	}
	l := zerolog.New(&log)
	fast := interceptors{Options: Options{SlowCall: time.Minute}}
	require.Zero(t, testing.AllocsPerRun(100, func() { fast.noteSlow(&l, codes.OK, time.Now()) }))
}
