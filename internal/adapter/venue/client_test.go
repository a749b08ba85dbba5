package venue

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

func TestMain(m *testing.M) {
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}

// fake is a venue service that answers as the test says.
type fake struct {
	venuepb.UnimplementedVenueServiceServer
	check func(context.Context, *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error)
	venue func(context.Context, *venuepb.GetVenueRequest) (*venuepb.Venue, error)
}

func (f *fake) CheckAvailability(ctx context.Context, r *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
	return f.check(ctx, r)
}

func (f *fake) GetVenue(ctx context.Context, r *venuepb.GetVenueRequest) (*venuepb.Venue, error) {
	return f.venue(ctx, r)
}

// serve runs a venue service at the address and answers where.
func serve(t *testing.T, addr string, f *fake) (string, *grpc.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	server := grpc.NewServer()
	venuepb.RegisterVenueServiceServer(server, f)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	return listener.Addr().String(), server
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := Dial(addr, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func newClient(t *testing.T, f *fake, o Options) *Client {
	t.Helper()
	addr, _ := serve(t, "127.0.0.1:0", f)
	return NewClient(dial(t, addr), o)
}

var relaxed = Options{Timeout: 5 * time.Second, CacheTTL: time.Hour}

var slot = dom.Slot{
	Date: time.Date(2027, 3, 14, 0, 0, 0, 0, time.UTC), Start: 19*time.Hour + 5*time.Minute, Duration: 90 * time.Minute,
}

func requireVenueAway(t *testing.T, err error) {
	t.Helper()
	var away *dom.UnavailableError
	require.ErrorAs(t, err, &away)
	require.Equal(t, dom.Venue, away.Dependency)
}

func ref(venueID, roomID, tableID string) *commonpb.TableRef {
	return &commonpb.TableRef{VenueId: venueID, RoomId: roomID, TableId: tableID}
}

func TestCheckAvailability(t *testing.T) {
	t.Parallel()
	var got *venuepb.CheckAvailabilityRequest
	var md metadata.MD
	c := newClient(t, &fake{check: func(ctx context.Context, r *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
		got = r
		md, _ = metadata.FromIncomingContext(ctx)
		return &venuepb.CheckAvailabilityResponse{Tables: []*venuepb.TableAvailability{
			{Table: ref("venue-1", "room-1", "t1"), Available: true},
			{Table: ref("", "", "t2"), Available: false, Reason: "  being\x00repaired\n"},
			{Table: ref("venue-1", "room-1", "t3"), Available: true, MergedWithTable: ref("venue-1", "room-2", "t4")},
			{Table: ref("venue-1", "room-1", "t3"), Available: true, MergedWithTable: ref("", "", "t5")},
		}}, nil
	}}, relaxed)
	ctx, span := otel.Tracer("test").Start(t.Context(), "request")
	defer span.End()
	offers, err := c.CheckAvailability(ctx, "venue-1", slot, 7)
	require.NoError(t, err)
	require.Equal(t, []dom.TableOffer{
		{Table: dom.TableRef{RoomID: "room-1", TableID: "t1"}, Available: true},
		{Table: dom.TableRef{TableID: "t2"}, Reason: "being repaired"},
		{Table: dom.TableRef{RoomID: "room-1", TableID: "t3"}, Joined: &dom.TableRef{RoomID: "room-2", TableID: "t4"}, Available: true},
		{Table: dom.TableRef{RoomID: "room-1", TableID: "t3"}, Joined: &dom.TableRef{TableID: "t5"}, Available: true},
	}, offers)
	want := &venuepb.CheckAvailabilityRequest{
		VenueId: "venue-1", PartySize: 7, Slot: &commonpb.Slot{Date: "2027-03-14", StartTime: "19:05", DurationMinutes: 90},
	}
	require.True(t, proto.Equal(want, got), "got %v", got)
	require.Len(t, md.Get("traceparent"), 1)
	require.Contains(t, md.Get("traceparent")[0], span.SpanContext().TraceID().String())
}

func TestNonsenseOffersAreDropped(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 37)
	nonsense := []*venuepb.TableAvailability{
		{Available: true},
		{Table: ref("", "", ""), Available: true},
		{Table: ref("", "", long), Available: true},
		{Table: ref("", "", "a b"), Available: true},
		{Table: ref("", "", "a:b"), Available: true},
		{Table: ref("", long, "t1"), Available: true},
		{Table: ref("", "r\n", "t1"), Available: true},
		{Table: ref("venue-2", "", "t1"), Available: true},
		{Table: ref("", "", "t1"), MergedWithTable: ref("", "", "t1"), Available: true},
		{Table: ref("", "", "t1"), MergedWithTable: &commonpb.TableRef{}, Available: true},
		{Table: ref("", "", "t1"), MergedWithTable: ref("", "", "ü"), Available: true},
		{Table: ref("", "", "t1"), MergedWithTable: ref("venue-2", "", "t2"), Available: true},
	}
	answer := append(nonsense, &venuepb.TableAvailability{Table: ref("", "", "good"), Available: true})
	c := newClient(t, &fake{check: func(context.Context, *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
		return &venuepb.CheckAvailabilityResponse{Tables: answer}, nil
	}}, relaxed)
	var log bytes.Buffer
	offers, err := c.CheckAvailability(zerolog.New(&log).WithContext(t.Context()), "venue-1", slot, 2)
	require.NoError(t, err)
	require.Equal(t, []dom.TableOffer{{Table: dom.TableRef{TableID: "good"}, Available: true}}, offers)
	require.Contains(t, log.String(), `"dropped":12,"kept":1`)

	answer = nil
	offers, err = c.CheckAvailability(t.Context(), "venue-1", slot, 2)
	require.NoError(t, err)
	require.Empty(t, offers)
}

func TestLongReasonIsCut(t *testing.T) {
	t.Parallel()
	require.Equal(t, strings.Repeat("я", 200), clean(strings.Repeat("я", 5000)))
	require.Empty(t, clean("\x00\x1f "))
}

// A venue of a thousand tables can list far more pairs than gRPC's default of 4 MiB holds.
func TestLargeAnswer(t *testing.T) {
	t.Parallel()
	var answer venuepb.CheckAvailabilityResponse
	for i := range 100_000 {
		answer.Tables = append(answer.Tables, &venuepb.TableAvailability{
			Table: ref("venue-1", "room-1", fmt.Sprintf("table-%030d", i)), Available: true,
		})
	}
	require.Greater(t, proto.Size(&answer), 5<<20)
	c := newClient(t, &fake{check: func(context.Context, *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
		return &answer, nil
	}}, Options{Timeout: 30 * time.Second, CacheTTL: time.Hour})
	offers, err := c.CheckAvailability(t.Context(), "venue-1", slot, 2)
	require.NoError(t, err)
	require.Len(t, offers, 100_000)
}

func TestErrorsOfTheVenueServiceAreAnOutage(t *testing.T) {
	t.Parallel()
	var code codes.Code
	c := newClient(t, &fake{
		check: func(context.Context, *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
			return nil, status.Error(code, "fault")
		},
		venue: func(context.Context, *venuepb.GetVenueRequest) (*venuepb.Venue, error) {
			return nil, status.Error(code, "fault")
		},
	}, relaxed)
	for code = codes.Canceled; code <= codes.Unauthenticated; code++ {
		_, err := c.CheckAvailability(t.Context(), "venue-1", slot, 2)
		requireVenueAway(t, err)
		_, err = c.TimeZone(t.Context(), "venue-1")
		if code == codes.Unknown || code == codes.NotFound {
			require.ErrorIs(t, err, dom.ErrVenueUnknown)
		} else {
			requireVenueAway(t, err)
			require.NotErrorIs(t, err, dom.ErrVenueUnknown)
		}
	}
}

// hang waits for the end of the call.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func hanging() *fake {
	return &fake{
		check: func(ctx context.Context, _ *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
			return nil, hang(ctx)
		},
		venue: func(ctx context.Context, _ *venuepb.GetVenueRequest) (*venuepb.Venue, error) { return nil, hang(ctx) },
	}
}

func TestSlowVenueService(t *testing.T) {
	t.Parallel()
	impatient := newClient(t, hanging(), Options{Timeout: 50 * time.Millisecond, CacheTTL: time.Hour})
	patient := newClient(t, hanging(), Options{Timeout: time.Minute, CacheTTL: time.Hour})
	for name, call := range map[string]func(context.Context, *Client) error{
		"CheckAvailability": func(ctx context.Context, c *Client) error {
			_, err := c.CheckAvailability(ctx, "venue-1", slot, 2)
			return err
		},
		"TimeZone": func(ctx context.Context, c *Client) error { _, err := c.TimeZone(ctx, "venue-1"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("its limit makes it an outage", func(t *testing.T) {
				requireVenueAway(t, call(t.Context(), impatient))
			})
			t.Run("a short request has time left to answer", func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				requireVenueAway(t, call(ctx, patient))
				require.NoError(t, ctx.Err())
			})
			t.Run("a request that was cancelled stays cancelled", func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(20*time.Millisecond, cancel)
				err := call(ctx, patient)
				require.ErrorIs(t, err, context.Canceled)
				var away *dom.UnavailableError
				require.NotErrorAs(t, err, &away)
			})
			t.Run("a request that is over stays over", func(t *testing.T) {
				ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
				defer cancel()
				require.ErrorIs(t, call(ctx, patient), context.DeadlineExceeded)
			})
		})
	}
}
