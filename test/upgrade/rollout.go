package main

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

const (
	database = "booking_upgrade"
	// clients is how many connections to all replicas there are, as gateways would have.
	clients = 4
	// span is how long guests book in each phase.
	span = 4 * time.Second
	// notice is the time between a replica that is ready and the end of the one that it replaces: clients have to
	// hear of its address and connect.
	notice = 2 * time.Second
	// endLimit is more than a replica takes to end (SHUTDOWN_TIMEOUT).
	endLimit = 30 * time.Second
)

// rollout is the replicas of both versions, and who calls them.
type rollout struct {
	*load.Stack
	before   string
	db       *pgxpool.Pool
	replicas []*load.Service
	names    *names
	attempts *attempts
	front    *grpc.Server
	spread   []bookingpb.BookingServiceClient
}

// newRollout starts three replicas of the version before, on its schema. It is to be stopped also when it fails.
func newRollout(ctx context.Context, dir, before string) (r *rollout, err error) {
	r = &rollout{Stack: &load.Stack{}, before: before, names: &names{}, attempts: &attempts{}}
	if r.Stack, err = load.NewStack(ctx, dir, "", []devstack.Place{place()}); err != nil {
		return r, err
	}
	if r.db, err = r.Database(ctx, before, database); err != nil {
		return r, err
	}
	for range 3 {
		if err := r.add(before); err != nil {
			return r, err
		}
	}
	for range clients {
		c, err := r.names.client(r.attempts)
		if err != nil {
			return r, err
		}
		r.spread = append(r.spread, c)
	}
	return r, r.serveVenue()
}

// add starts a replica and tells clients where it is.
func (r *rollout) add(binary string) error {
	svc, err := r.Launch(binary, database)
	if err != nil {
		return err
	}
	r.replicas = append(r.replicas, svc)
	r.names.add(svc.Addr)
	return nil
}

// end stops the oldest replica in good order. Its address stays known.
func (r *rollout) end() error {
	oldest := r.replicas[0]
	r.replicas = r.replicas[1:]
	code, err := oldest.End(syscall.SIGTERM, endLimit)
	if err == nil && code != 0 {
		err = fmt.Errorf("a replica ended with code %d after SIGTERM", code)
	}
	return err
}

func (r *rollout) stop() {
	if r.front != nil {
		r.front.Stop()
	}
	r.names.close()
	r.Stop()
	if r.db != nil {
		r.db.Close()
	}
}

// front is where the venue asks which tables are taken: a client of all replicas as any other.
type front struct {
	bookingpb.UnimplementedBookingServiceServer
	bookings bookingpb.BookingServiceClient
}

// CheckTableAvailability passes the question on.
func (f front) CheckTableAvailability(
	ctx context.Context, req *bookingpb.CheckTableAvailabilityRequest,
) (*bookingpb.CheckTableAvailabilityResponse, error) {
	return f.bookings.CheckTableAvailability(ctx, req)
}

func (r *rollout) serveVenue() error {
	c, err := r.names.client(&attempts{}) // not the guests' attempts
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds at once
	if err != nil {
		return err
	}
	r.front = grpc.NewServer()
	bookingpb.RegisterBookingServiceServer(r.front, front{bookings: c})
	go func() { _ = r.front.Serve(listener) }() // ends with the rollout
	return r.Venue.SetBookingAddr(listener.Addr().String())
}

// direct answers a client of one replica that tries nothing again.
func (r *rollout) direct(svc *load.Service) (bookingpb.BookingServiceClient, error) {
	return r.names.direct(svc.Addr)
}

// play is the upgrade: the schema first, then the replicas.
func (r *rollout) play(ctx context.Context, t *tally) (err error) {
	schema, err := r.schema(ctx)
	if err != nil {
		return err
	}
	first, err := r.direct(r.replicas[0])
	if err != nil {
		return err
	}
	party := startGuests(t, "old, before the migration", first)
	defer func() { party.end() }()
	if err := wait(ctx, span); err != nil {
		return err
	}

	party.move("old, during and after the migration", first)
	began := time.Now()
	if err := r.Migrate(ctx, r.Binary, database); err != nil {
		return err
	}
	took := time.Since(began)
	now, err := r.schema(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("upgrade: the schema went from version %d to %d in %.1f s while guests booked\n", schema, now, took.Seconds())
	if err := wait(ctx, span); err != nil {
		return err
	}

	if err := r.add(r.Binary); err != nil {
		return err
	}
	second, err := r.direct(r.replicas[len(r.replicas)-1])
	if err != nil {
		return err
	}
	party.move("old and new, without retries", first, second)
	if err := wait(ctx, span); err != nil {
		return err
	}

	party.move("old replaced by new", r.spread...)
	if err := r.retire(ctx); err != nil { // the first new one is there already
		return err
	}
	if err := r.replace(ctx, 2); err != nil {
		return err
	}
	party.move("new replaced by new", r.spread...)
	if err := r.replace(ctx, 3); err != nil {
		return err
	}
	return wait(ctx, notice)
}

// replace replaces so many replicas by new ones, one by one.
func (r *rollout) replace(ctx context.Context, n int) error {
	for range n {
		if err := r.add(r.Binary); err != nil {
			return err
		}
		if err := r.retire(ctx); err != nil {
			return err
		}
	}
	return nil
}

// retire ends a replica when clients have noticed the newest.
func (r *rollout) retire(ctx context.Context) error {
	if err := wait(ctx, notice); err != nil {
		return err
	}
	return r.end()
}

// wait lets guests book for a while.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// schema is the version of the schema.
func (r *rollout) schema(ctx context.Context) (version int, err error) {
	err = r.db.QueryRow(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&version)
	if err != nil {
		err = fmt.Errorf("read the schema's version: %w", err)
	}
	return version, err
}
