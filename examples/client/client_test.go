package main

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// fake answers the errors that it is given, one a call, and then bookings.
type fake struct {
	bookingpb.UnimplementedBookingServiceServer
	mu     sync.Mutex
	errs   []error
	keys   []string
	calls  []time.Time
	limits []time.Duration
}

func (f *fake) next(ctx context.Context, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys, f.calls = append(f.keys, key), append(f.calls, time.Now())
	deadline, _ := ctx.Deadline()
	f.limits = append(f.limits, time.Until(deadline))
	if len(f.errs) == 0 {
		return nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return err
}

func (f *fake) CreateBooking(ctx context.Context, r *bookingpb.CreateBookingRequest) (*bookingpb.Booking, error) {
	return &bookingpb.Booking{Id: "b"}, f.next(ctx, r.GetIdempotencyKey())
}

func (f *fake) ConfirmBooking(ctx context.Context, _ *bookingpb.ConfirmBookingRequest) (*bookingpb.Booking, error) {
	return &bookingpb.Booking{Id: "b"}, f.next(ctx, "")
}

// serve runs the fake on a port of its own and answers the way to it.
func serve(t *testing.T, f *fake, healthy bool) *client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	bookingpb.RegisterBookingServiceServer(server, f)
	h := health.NewServer()
	state := healthpb.HealthCheckResponse_SERVING
	if !healthy {
		state = healthpb.HealthCheckResponse_NOT_SERVING
	}
	h.SetServingStatus(bookingpb.BookingService_ServiceDesc.ServiceName, state)
	healthpb.RegisterHealthServer(server, h)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := dial(listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &client{service: bookingpb.NewBookingServiceClient(conn)}
}

func failed(t *testing.T, code codes.Code, details ...protoadapt.MessageV1) error {
	t.Helper()
	s, err := status.New(code, "no").WithDetails(details...)
	require.NoError(t, err)
	return s.Err()
}

var request = &bookingpb.CreateBookingRequest{IdempotencyKey: "k"}

func TestACreateIsTriedAgainUnderItsKey(t *testing.T) {
	f := &fake{errs: []error{failed(t, codes.Unavailable), failed(t, codes.DeadlineExceeded)}}
	b, err := serve(t, f, true).create(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, "b", b.Id)
	require.Equal(t, []string{"k", "k", "k"}, f.keys)
	for _, limit := range f.limits {
		require.InDelta(t, 6, limit.Seconds(), 0.5, "each attempt has the limit of the service config")
	}
}

func TestTheServiceSaysHowLongToWait(t *testing.T) {
	const asked = 700 * time.Millisecond
	f := &fake{errs: []error{failed(t, codes.Unavailable, &errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})}}
	_, err := serve(t, f, true).create(t.Context(), request)
	require.NoError(t, err)
	require.GreaterOrEqual(t, f.calls[1].Sub(f.calls[0]), asked)
}

func TestARefusalIsFinal(t *testing.T) {
	f := &fake{errs: []error{failed(t, codes.AlreadyExists, &errdetails.ErrorInfo{Reason: "SLOT_TAKEN"})}}
	_, err := serve(t, f, true).create(t.Context(), request)
	require.Equal(t, "ALREADY_EXISTS SLOT_TAKEN: no", describe(err))
	require.Len(t, f.calls, 1)

	bad := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "party_size", Description: "must be 1 to 1000"}, {Field: "slot", Description: "is required"},
	}}
	require.Equal(t, "INVALID_ARGUMENT: party_size must be 1 to 1000; slot is required", describe(failed(t, codes.InvalidArgument, bad)))
}

func TestPatienceEnds(t *testing.T) {
	f := &fake{errs: []error{failed(t, codes.Unavailable, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})}}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := serve(t, f, true).create(ctx, request)
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Len(t, f.calls, 1)
}

func TestACreateNeedsItsKey(t *testing.T) {
	_, err := (&client{}).create(t.Context(), &bookingpb.CreateBookingRequest{})
	require.ErrorContains(t, err, "idempotency key")
}

// The service config is one that gRPC takes, and does what docs/clients.md says: changes are tried again, and a
// replica that is not healthy gets no calls.
func TestServiceConfig(t *testing.T) {
	f := &fake{errs: []error{failed(t, codes.Unavailable), failed(t, codes.Unavailable)}}
	_, err := serve(t, f, true).service.ConfirmBooking(t.Context(), &bookingpb.ConfirmBookingRequest{})
	require.NoError(t, err)
	require.Len(t, f.calls, 3)

	sick := &fake{}
	_, err = serve(t, sick, false).service.ConfirmBooking(t.Context(), &bookingpb.ConfirmBookingRequest{})
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Empty(t, sick.calls)
}
