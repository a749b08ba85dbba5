package grpc

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/test/bufconn"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	"github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
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

// fake is the use cases of a test. Those that the test does not set panic.
type fake struct {
	create  func(context.Context, booking.CreateCommand) (*dom.Booking, error)
	get     func(context.Context, string) (*dom.Booking, error)
	list    func(context.Context, booking.ListQuery) ([]*dom.Booking, int, error)
	confirm func(context.Context, booking.ChangeCommand) (*dom.Booking, error)
	cancel  func(context.Context, booking.ChangeCommand) (*dom.Booking, error)
	seat    func(context.Context, booking.ChangeCommand) (*dom.Booking, error)
	finish  func(context.Context, booking.ChangeCommand) (*dom.Booking, error)
	noShow  func(context.Context, booking.ChangeCommand) (*dom.Booking, error)
	check   func(context.Context, booking.AvailabilityQuery) ([]booking.TableAvailability, error)
}

func (f *fake) CreateBooking(ctx context.Context, c booking.CreateCommand) (*dom.Booking, error) {
	return f.create(ctx, c)
}
func (f *fake) GetBooking(ctx context.Context, id string) (*dom.Booking, error) {
	return f.get(ctx, id)
}
func (f *fake) ListBookings(ctx context.Context, q booking.ListQuery) ([]*dom.Booking, int, error) {
	return f.list(ctx, q)
}
func (f *fake) ConfirmBooking(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error) {
	return f.confirm(ctx, c)
}
func (f *fake) CancelBooking(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error) {
	return f.cancel(ctx, c)
}
func (f *fake) MarkSeated(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error) {
	return f.seat(ctx, c)
}
func (f *fake) MarkFinished(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error) {
	return f.finish(ctx, c)
}
func (f *fake) MarkNoShow(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error) {
	return f.noShow(ctx, c)
}
func (f *fake) CheckTableAvailability(ctx context.Context, q booking.AvailabilityQuery) ([]booking.TableAvailability, error) {
	return f.check(ctx, q)
}

// logBuffer keeps what a server logs.
type logBuffer struct{ testenv.Buffer }

// calls answers the lines about calls.
func (b *logBuffer) calls(t *testing.T) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(b.String()) {
		fields := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &fields), "%s", line)
		if fields["message"] == "gRPC call" {
			lines = append(lines, fields)
		}
	}
	return lines
}

// running is a server over a connection in memory.
type running struct {
	bookingpb.BookingServiceClient
	conn     *grpc.ClientConn
	health   *health.Server
	registry *prometheus.Registry
	log      *logBuffer
}

const testRequestTimeout = 5 * time.Second

func start(t *testing.T, f *fake) *running {
	t.Helper()
	return startWith(t, f, testRequestTimeout)
}

func startWith(t testing.TB, u UseCases, requestTimeout time.Duration) *running {
	t.Helper()
	return startOptions(t, u, Options{RequestTimeout: requestTimeout}, insecure.NewCredentials())
}

// startOptions starts a server with a log and metrics of its own, and a client with credentials.
func startOptions(t testing.TB, u UseCases, o Options, creds credentials.TransportCredentials) *running {
	t.Helper()
	r := &running{registry: prometheus.NewRegistry(), log: &logBuffer{}}
	o.Logger, o.Metrics = zerolog.New(r.log), metrics.New(r.registry)
	server, h := NewServer(NewHandler(u), o)
	r.health = h
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	r.conn, r.BookingServiceClient = conn, bookingpb.NewBookingServiceClient(conn)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-served)
	})
	return r
}

// sampleBooking is a booking with every field set.
func sampleBooking() *dom.Booking {
	created := time.Date(2027, 3, 1, 10, 0, 0, 999, time.UTC)
	return &dom.Booking{
		ID:      "0195f3a0-0000-7000-8000-000000000001",
		VenueID: "venue-1",
		Table:   dom.TableRef{RoomID: "room-1", TableID: "table-1"},
		Joined:  []dom.TableRef{{RoomID: "room-1", TableID: "table-2"}, {TableID: "table-3"}},
		Slot: dom.Slot{
			Date: time.Date(2027, 3, 14, 0, 0, 0, 0, time.UTC), Start: 19*time.Hour + 5*time.Minute, Duration: 2 * time.Hour,
		},
		TimeZone:      "Europe/Berlin",
		PartySize:     4,
		CustomerName:  "Ada Lovelace",
		CustomerPhone: "+49 30 1234567",
		Status:        dom.StatusHeld,
		Comment:       "by the window",
		AdminID:       "admin-1",
		CreatedAt:     created,
		UpdatedAt:     created.Add(time.Minute),
		ExpiresAt:     created.Add(15 * time.Minute),
		Version:       1,
	}
}
