package grpc

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/callers"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/tlsfiles"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	"github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

const tokenSecret = "a secret of thirty-two bytes, or more"

func tokens(t *testing.T) *callers.Known {
	t.Helper()
	checked, err := callers.NewTokens(callers.TokenOptions{Secret: tokenSecret, Issuer: "issuer", Audience: "booking-svc"})
	require.NoError(t, err)
	return &callers.Known{Tokens: checked}
}

// as answers a context of a call with a token; no venues are all.
func as(t *testing.T, name, scope string, venues ...string) context.Context {
	t.Helper()
	claims := jwt.MapClaims{"iss": "issuer", "aud": "booking-svc", "sub": name, "exp": time.Now().Add(time.Hour).Unix(), "scope": scope}
	if venues != nil {
		claims["venues"] = venues
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(tokenSecret))
	require.NoError(t, err)
	return withToken(t, token)
}

func withToken(t *testing.T, token string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

// everyCall makes each call of the booking service, for booking id-1 or venue-1.
func everyCall(s *running) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"GetBooking": func(ctx context.Context) error { return get(ctx, s) },
		"ListBookings": func(ctx context.Context) error {
			_, err := s.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: "venue-1"})
			return err
		},
		"CheckTableAvailability": func(ctx context.Context) error {
			_, err := s.CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{VenueId: "venue-1"})
			return err
		},
		"CreateBooking": func(ctx context.Context) error {
			_, err := s.CreateBooking(ctx, &bookingpb.CreateBookingRequest{VenueId: "venue-1"})
			return err
		},
		"ConfirmBooking": func(ctx context.Context) error {
			_, err := s.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: "id-1"})
			return err
		},
		"CancelBooking": func(ctx context.Context) error {
			_, err := s.CancelBooking(ctx, &bookingpb.CancelBookingRequest{Id: "id-1"})
			return err
		},
		"MarkSeated": func(ctx context.Context) error {
			_, err := s.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: "id-1"})
			return err
		},
		"MarkFinished": func(ctx context.Context) error {
			_, err := s.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: "id-1"})
			return err
		},
		"MarkNoShow": func(ctx context.Context) error {
			_, err := s.MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: "id-1"})
			return err
		},
	}
}

// anything answers every call, with a booking of venue-1.
func anything() *fake {
	one := func(context.Context, booking.ChangeCommand) (*dom.Booking, error) { return sampleBooking(), nil }
	return &fake{
		get:     func(context.Context, string) (*dom.Booking, error) { return sampleBooking(), nil },
		create:  func(context.Context, booking.CreateCommand) (*dom.Booking, error) { return sampleBooking(), nil },
		list:    func(context.Context, booking.ListQuery) ([]*dom.Booking, int, error) { return nil, 0, nil },
		confirm: one, cancel: one, seat: one, finish: one, noShow: one,
		check: func(context.Context, booking.AvailabilityQuery) ([]booking.TableAvailability, error) { return nil, nil },
	}
}

func TestEachCallNeedsItsPermission(t *testing.T) {
	t.Parallel()
	s := startOptions(t, anything(), Options{RequestTimeout: testRequestTimeout, Callers: tokens(t)}, insecure.NewCredentials())
	calls := everyCall(s)
	require.Len(t, calls, len(bookingpb.BookingService_ServiceDesc.Methods), "every call is tried")
	groups := map[string]string{
		"GetBooking": "read", "ListBookings": "read", "CheckTableAvailability": "read",
		"CreateBooking": "book", "ConfirmBooking": "book", "CancelBooking": "book",
		"MarkSeated": "operate", "MarkFinished": "operate", "MarkNoShow": "operate",
	}
	for method, call := range calls {
		for _, permission := range []string{"read", "book", "operate"} {
			err := call(as(t, "host-1", "booking:"+permission))
			if permission == groups[method] {
				require.NoError(t, err, method)
			} else {
				require.Equal(t, codes.PermissionDenied, status.Code(err), "%s with %s", method, permission)
			}
		}
		require.Equal(t, codes.PermissionDenied, status.Code(call(as(t, "host-1", "other:read"))), method)
		require.Equal(t, codes.Unauthenticated, status.Code(call(t.Context())), method)
	}
	_, err := healthpb.NewHealthClient(s.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err, "health is for everybody")
}

func TestVenuesOfAToken(t *testing.T) {
	t.Parallel()
	f := anything()
	s := startOptions(t, f, Options{RequestTimeout: testRequestTimeout, Callers: tokens(t)}, insecure.NewCredentials())
	const all = "booking:read booking:book booking:operate"
	for method, call := range everyCall(s) {
		require.NoError(t, call(as(t, "host-1", all, "venue-0", "venue-1")), method)
		require.Equal(t, codes.PermissionDenied, status.Code(call(as(t, "host-1", all, "venue-2"))), method)
	}
	list := func(ctx context.Context) error {
		_, err := s.ListBookings(ctx, &bookingpb.ListBookingsRequest{})
		return err
	}
	require.NoError(t, list(as(t, "host-1", all)))
	require.Equal(t, codes.PermissionDenied, status.Code(list(as(t, "host-1", all, "venue-1"))), "a list over all venues")

	// A booking that is not there is answered as one of another venue: no hint which it is.
	foreign := status.Convert(get(as(t, "host-1", all, "venue-2"), s))
	f.get = func(context.Context, string) (*dom.Booking, error) { return nil, dom.ErrNotFound }
	require.Equal(t, foreign.Proto().String(), status.Convert(get(as(t, "host-1", all, "venue-2"), s)).Proto().String())
	require.Equal(t, codes.NotFound, status.Code(get(as(t, "host-1", all), s)))
}

func TestRefusalGivesNoHint(t *testing.T) {
	t.Parallel()
	s := startOptions(t, anything(), Options{RequestTimeout: testRequestTimeout, Callers: tokens(t)}, insecure.NewCredentials())
	for _, ctx := range []context.Context{
		t.Context(), withToken(t, "nonsense"), withToken(t, ""),
		metadata.AppendToOutgoingContext(t.Context(), "authorization", "Basic aG9zdDpwYXNz"),
		metadata.AppendToOutgoingContext(withToken(t, "a"), "authorization", "Bearer b"),
	} {
		got := status.Convert(get(ctx, s))
		require.Equal(t, codes.Unauthenticated, got.Code())
		require.Equal(t, "the caller is not known", got.Message())
		info, ok := got.Details()[0].(*errdetails.ErrorInfo)
		require.True(t, ok)
		require.Equal(t, ReasonUnauthenticated, info.GetReason())
		require.Empty(t, info.GetMetadata())
	}
	require.Error(t, get(as(t, "waiter", "booking:book"), s))
	lines := s.log.calls(t)
	require.Contains(t, lines[0]["cause"], "neither a known certificate nor a bearer token", "the log says why")
	require.Equal(t, "waiter", lines[len(lines)-1]["caller"])
	require.NotContains(t, s.log.String(), "aG9zdDpwYXNz")
	require.NoError(t, testutil.GatherAndCompare(s.registry, strings.NewReader(`
# HELP grpc_server_requests_total gRPC calls served, by method and status (ok, or the code in snake case).
# TYPE grpc_server_requests_total counter
grpc_server_requests_total{method="GetBooking",service="booking-svc",status="permission_denied"} 1
grpc_server_requests_total{method="GetBooking",service="booking-svc",status="unauthenticated"} 5
`), "grpc_server_requests_total"))
}

// The name in the certificate is known to the use cases, also where everybody may call.
func TestCertificateNamesTheCaller(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	serverCert, serverKey := ca.Issue(t, "bufconn")
	clientCert, clientKey := ca.Issue(t, "admin-gateway")
	for _, known := range []*callers.Known{nil, {Certificates: map[string][]string{"admin-gateway": {"read", "book"}}}} {
		creds, err := tlsfiles.Server(tlsfiles.Files{Cert: serverCert, Key: serverKey, CA: ca.File})
		require.NoError(t, err)
		client, err := tlsfiles.Client(tlsfiles.Files{Cert: clientCert, Key: clientKey, CA: ca.File})
		require.NoError(t, err)
		f := anything()
		var caller string
		f.create = func(ctx context.Context, _ booking.CreateCommand) (*dom.Booking, error) {
			caller = booking.CallerOf(ctx)
			return sampleBooking(), nil
		}
		s := startOptions(t, f, Options{RequestTimeout: testRequestTimeout, Credentials: creds, Callers: known}, client)
		calls := everyCall(s)
		require.NoError(t, calls["CreateBooking"](t.Context()))
		require.Equal(t, "admin-gateway", caller)
		if known != nil {
			require.Equal(t, codes.PermissionDenied, status.Code(calls["MarkSeated"](t.Context())))
		}
	}
}

func TestRateOfACaller(t *testing.T) {
	t.Parallel()
	s := startOptions(t, anything(), Options{
		RequestTimeout: testRequestTimeout, Callers: tokens(t), Limits: Limits{Rate: 1, Burst: 3},
	}, insecure.NewCredentials())
	for range 3 {
		require.NoError(t, get(as(t, "one", "booking:read"), s))
	}
	err := get(as(t, "one", "booking:read"), s)
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	retry, ok := status.Convert(err).Details()[1].(*errdetails.RetryInfo)
	require.True(t, ok)
	require.Greater(t, retry.GetRetryDelay().AsDuration(), time.Duration(0))
	require.LessOrEqual(t, retry.GetRetryDelay().AsDuration(), time.Second)
	require.NoError(t, get(as(t, "another", "booking:read"), s), "each caller has tokens of its own")
	for _, want := range []codes.Code{codes.PermissionDenied, codes.PermissionDenied, codes.PermissionDenied, codes.ResourceExhausted} {
		require.Equal(t, want, status.Code(get(as(t, "waiter", "booking:book"), s)), "who may not call pays as well")
	}
	for _, want := range []codes.Code{codes.Unauthenticated, codes.Unauthenticated, codes.Unauthenticated, codes.ResourceExhausted} {
		require.Equal(t, want, status.Code(get(withToken(t, "wrong"), s)), "and who is not known, by its host")
	}
	require.NoError(t, get(as(t, "another", "booking:read"), s), "from which others may call")
	require.Equal(t, "debug", s.log.calls(t)[3]["level"], "thousands of them must not fill the log")
}

func TestRates(t *testing.T) {
	now := time.Now()
	r := newRates(10, 0)
	for range 10 {
		require.Zero(t, r.take("a", now), "the burst is a second's")
	}
	require.Equal(t, 100*time.Millisecond, r.take("a", now))
	require.Equal(t, 100*time.Millisecond, r.take("a", now), "who is refused pays nothing")
	require.Zero(t, r.take("a", now.Add(100*time.Millisecond)))

	// However many come in a moment, no more are remembered.
	for i := range 2 * maxRates {
		r.take("n"+strconv.Itoa(i), now)
	}
	require.LessOrEqual(t, len(r.callers), maxRates)

	// Callers who come no more are forgotten.
	for i := range 3 * maxRates {
		r.take(string(rune(i)), now.Add(time.Duration(i)*time.Millisecond))
	}
	require.LessOrEqual(t, len(r.callers), maxRates)
	require.Nil(t, newRates(0, 5))
}

func TestCallsAtATime(t *testing.T) {
	t.Parallel()
	f := anything()
	working, release := make(chan struct{}, 2), make(chan struct{})
	wait := func() { working <- struct{}{}; <-release }
	f.get = func(context.Context, string) (*dom.Booking, error) { wait(); return sampleBooking(), nil }
	f.check = func(context.Context, booking.AvailabilityQuery) ([]booking.TableAvailability, error) {
		wait()
		return nil, nil
	}
	s := startOptions(t, f, Options{RequestTimeout: testRequestTimeout, Limits: Limits{Calls: 1, AvailabilityCalls: 1}}, insecure.NewCredentials())
	calls := everyCall(s)
	ended := make(chan error, 2)
	go func() { ended <- calls["GetBooking"](context.Background()) }()
	<-working
	err := calls["CreateBooking"](t.Context())
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	info, ok := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
	require.True(t, ok)
	require.Equal(t, ReasonOverloaded, info.GetReason())

	// The venue service may still ask, and health be looked at.
	go func() { ended <- calls["CheckTableAvailability"](context.Background()) }()
	<-working
	require.Equal(t, codes.ResourceExhausted, status.Code(calls["CheckTableAvailability"](t.Context())))
	_, err = healthpb.NewHealthClient(s.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)

	close(release)
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.NoError(t, calls["CreateBooking"](t.Context()))
}

func TestLongHeadersAreRefused(t *testing.T) {
	t.Parallel()
	s := startOptions(t, anything(), Options{RequestTimeout: testRequestTimeout, Callers: tokens(t)}, insecure.NewCredentials())
	err := get(withToken(t, strings.Repeat("x", maxHeaders+1)), s)
	require.Error(t, err)
	require.Equal(t, codes.Unauthenticated, status.Code(get(withToken(t, strings.Repeat("x", maxHeaders/2)), s)))
	require.Less(t, len(s.log.String()), 4000)
}

func TestLargestRequest(t *testing.T) {
	t.Parallel()
	s := startOptions(t, anything(), Options{RequestTimeout: testRequestTimeout, Limits: Limits{RequestBytes: 1000}}, insecure.NewCredentials())
	_, err := s.CreateBooking(t.Context(), &bookingpb.CreateBookingRequest{Comment: strings.Repeat("x", 1001)}, grpc.WaitForReady(true))
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
}
