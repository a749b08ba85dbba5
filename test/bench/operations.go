package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

// bench is what the measurements share.
type bench struct {
	*load.Stack
	pgbench *pgbench
	service *load.Service
	// postgres and redis are the servers' process ids, for what they cost.
	postgres, redis int
	// next is the next sitting that no create has asked for.
	next atomic.Int64
	// turn makes reads ask for one after another.
	turn atomic.Int64
	// known is how many bookings there are to get.
	known int
	// calls counts all calls of the service.
	calls atomic.Int64
	// profile is the directory for profiles, empty for none.
	profile string
}

// Names of the databases: the service's, and that of pgbench's writes.
const (
	serviceDB = "bench_service"
	limitDB   = "bench_limit"
)

// pair is an operation of the service and what PostgreSQL alone does for it.
type pair struct {
	name    string
	clients int
	// callback says that the venue asks the service which tables are free.
	callback bool
	// limit is pgbench's transaction, on database; empty for an operation without a yardstick.
	limit, database string
	call            func(ctx context.Context, client int) error
}

// client answers the stub that a client's calls go through.
func (b *bench) client(n int) bookingpb.BookingServiceClient {
	b.calls.Add(1)
	return b.service.Bookings[n%len(b.service.Bookings)]
}

func (b *bench) create(ctx context.Context, client int) error {
	_, err := b.client(client).CreateBooking(ctx, createRequest(int(b.next.Add(1))))
	return err
}

func (b *bench) createWithKey(ctx context.Context, client int) error {
	n := int(b.next.Add(1))
	req := createRequest(n)
	req.IdempotencyKey = fmt.Sprintf("bench-%d", n)
	_, err := b.client(client).CreateBooking(ctx, req)
	return err
}

func (b *bench) get(ctx context.Context, client int) error {
	// A walk over all of them that does not follow their order.
	n := int(b.turn.Add(1)) * 7919 % b.known
	_, err := b.client(client).GetBooking(ctx, &bookingpb.GetBookingRequest{Id: knownID(n)})
	return err
}

func (b *bench) list(ctx context.Context, client int) error {
	answer, err := b.client(client).ListBookings(ctx, &bookingpb.ListBookingsRequest{
		VenueId: listVenue, Date: firstDay.Format(time.DateOnly), Limit: 50,
	})
	if err == nil && (len(answer.GetBookings()) != 50 || answer.GetTotal() != 500) {
		err = fmt.Errorf("list: %d of %d bookings", len(answer.GetBookings()), answer.GetTotal())
	}
	return err
}

func (b *bench) availability(ctx context.Context, client int) error {
	req := &bookingpb.CheckTableAvailabilityRequest{VenueId: listVenue, Slot: slot(int(b.turn.Add(1)) % 10)}
	for i := range 20 {
		req.TableIds = append(req.TableIds, tableID(i))
	}
	answer, err := b.client(client).CheckTableAvailability(ctx, req)
	if err == nil && (len(answer.GetTables()) != 20 || answer.GetTables()[0].GetAvailable()) {
		err = fmt.Errorf("availability: %v", answer)
	}
	return err
}

// nothing is a call that asks for nothing: what the way to the service and back costs.
func (b *bench) nothing(ctx context.Context, client int) error {
	b.calls.Add(1)
	_, err := healthpb.NewHealthClient(b.service.Conns[client%len(b.service.Conns)]).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// life is a whole life cycle: four calls, one after another.
func (b *bench) life(ctx context.Context, client int) error {
	booking, err := b.client(client).CreateBooking(ctx, createRequest(int(b.next.Add(1))))
	if err != nil {
		return err
	}
	if _, err = b.client(client).ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: booking.GetId(), AdminId: "admin-1"}); err != nil {
		return err
	}
	if _, err = b.client(client).MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: booking.GetId(), AdminId: "admin-1"}); err != nil {
		return err
	}
	_, err = b.client(client).MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: booking.GetId(), AdminId: "admin-1"})
	return err
}

// pairs are the operations that have a yardstick.
func (b *bench) pairs() []pair {
	create := script("create")
	all := []pair{}
	for _, clients := range []int{1, 16, 64, 128} {
		all = append(all, pair{name: "create", clients: clients, limit: create, database: limitDB, call: b.create})
	}
	return append(all,
		pair{name: "create, venue calls back", clients: 16, callback: true, limit: create, database: limitDB, call: b.create},
		pair{name: "create with a key", clients: 16, limit: create, database: limitDB, call: b.createWithKey},
		pair{name: "nothing", clients: 16, limit: "SELECT 1;\n", database: serviceDB, call: b.nothing},
		pair{name: "get", clients: 16, limit: script("get"), database: serviceDB, call: b.get},
		pair{name: "list 50 of 500", clients: 16, limit: script("list"), database: serviceDB, call: b.list},
		pair{name: "availability of 20 tables", clients: 16, limit: script("availability"), database: serviceDB, call: b.availability},
		pair{
			name: "life cycle", clients: 16, database: limitDB, call: b.life,
			limit: script("create", "change:confirmed", "change:seated", "change:finished"),
		},
	)
}
