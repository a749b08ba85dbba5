// Package demo plays an evening in a restaurant against a running booking service, as its clients
// would, and checks everything that comes back.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

const (
	// callTimeout bounds a call to the service.
	callTimeout = 10 * time.Second
	// eventTimeout is how long the last events may take to come out of Kafka.
	eventTimeout = 20 * time.Second
	// maxWeeks is how far ahead a free Saturday is looked for; the service books two years ahead.
	maxWeeks = 100
)

// Options say where the stack runs.
type Options struct {
	// GRPCAddr is the booking service's address, host:port.
	GRPCAddr string
	// KafkaBroker is the broker's address, host:port.
	KafkaBroker string
	// PostgresURL is the database, in which the demo lets a hold run out.
	PostgresURL string
	// Out takes the story.
	Out io.Writer
}

// DifferencesError says that something was not as it should be. The story lists what.
type DifferencesError struct {
	Differences []string
}

func (e *DifferencesError) Error() string {
	return fmt.Sprintf("differences from what should be: %d, listed above", len(e.Differences))
}

// Run plays a Saturday evening on the first Saturday on which the demo venue has no bookings, so
// that it can be run again. It takes a few seconds.
//
// Errors: *DifferencesError, when the service did anything but what it should; others, when the
// stack cannot be reached.
func Run(ctx context.Context, o Options) error {
	conn, err := grpc.NewClient(o.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("reach the service: %w", err)
	}
	defer conn.Close()
	if err := awaitService(ctx, conn, o.GRPCAddr); err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, o.PostgresURL)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }() // nothing is open on it

	s := &story{out: o.Out}
	w, err := watchEvents(ctx, o.KafkaBroker, s)
	if err != nil {
		return fmt.Errorf("read Kafka at %s: %w", o.KafkaBroker, err)
	}
	defer w.stop()

	e := &evening{
		story: s, client: bookingpb.NewBookingServiceClient(conn), db: db, events: w, place: devstack.DemoPlace(),
	}
	if err := e.chooseDate(ctx, time.Now()); err != nil {
		return err
	}
	s.say("A Saturday at %q: %s, %d tables in two rooms.", e.place.Name, e.date, len(e.place.Tables))
	if err := e.play(ctx); err != nil {
		return errors.Join(err, e.differences())
	}
	e.verify(ctx)
	if err := e.differences(); err != nil {
		return err
	}
	s.say("\nAll as it should be: %d bookings, %d events.", len(e.parties), w.count())
	return nil
}

// awaitService checks that the service is there, and gives one that just starts a little time.
func awaitService(ctx context.Context, conn *grpc.ClientConn, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
		if err == nil && answer.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			return nil
		}
		if err == nil {
			err = errors.New(answer.GetStatus().String())
		}
		// Refused: nothing runs there. What starts, or is busy, answers something else.
		if refused := status.Code(err) == codes.Unavailable; refused || ctx.Err() != nil {
			return fmt.Errorf("no booking service at %s (%w): start booking-svc dev first, or give its ports as it has them",
				addr, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// story prints, from any goroutine, line by line.
type story struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *story) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// evening is what happens at the venue, and what ought to have come of it.
type evening struct {
	*story
	client bookingpb.BookingServiceClient
	db     *pgx.Conn
	events *watcher
	place  devstack.Place
	// date is the Saturday.
	date    string
	parties []*party
	differs []string
}

// differ notes something that is not as it should be.
func (e *evening) differ(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.differs = append(e.differs, text)
	e.say("  DIFFERS: %s", text)
}

// differences lists what was noted, once more at the end, where it is found.
func (e *evening) differences() error {
	if len(e.differs) == 0 {
		return nil
	}
	e.say("\nNot as it should be:")
	for _, d := range e.differs {
		e.say("  - %s", d)
	}
	return &DifferencesError{e.differs}
}

// chooseDate finds the first Saturday, from tomorrow on, without bookings.
func (e *evening) chooseDate(ctx context.Context, now time.Time) error {
	zone, err := booking.LoadZone(e.place.TimeZone)
	if err != nil {
		return err
	}
	day := now.In(zone).AddDate(0, 0, 1)
	for day.Weekday() != time.Saturday {
		day = day.AddDate(0, 0, 1)
	}
	for range maxWeeks {
		e.date = day.Format(time.DateOnly)
		list, err := e.client.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: e.place.ID, Date: e.date, Limit: 1})
		if err != nil {
			return fmt.Errorf("list the bookings of %s: %w", e.date, err)
		}
		if list.GetTotal() == 0 {
			return nil
		}
		day = day.AddDate(0, 0, 7)
	}
	return fmt.Errorf("every Saturday of the next %d weeks has bookings: booking-svc dev --reset makes room", maxWeeks)
}
