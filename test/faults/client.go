package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

const (
	// shortDeadline is what half of the calls are given by their client.
	shortDeadline = 2 * time.Second
	// patience is what the others are: longer than the server takes, unless it is paused.
	patience = 12 * time.Second
	// insist is how long an operation is tried again after the run has ended, until its answer is clear.
	insist = 20 * time.Second
)

// client runs operations one after the other, as a colleague at a door does.
type client struct {
	name    string
	h       *history
	routing routing
	rnd     *rand.Rand
	// stop ends the operations; giveUp, later, also the attempts.
	stop, giveUp context.Context //nolint:containedctx // both are the run's
	serial       int
}

// do runs an operation: it is tried, on any replica, until its answer is clear. Reads are not tried
// again.
func (c *client) do(o *operation, call func(ctx context.Context, r *replica, adminID string) error) {
	c.serial++
	o.Client = c.name
	defer c.h.add(o)
	for n := 1; ; n++ {
		r := c.routing.pick(c.rnd.IntN)
		limit := patience
		// Those that measure do not wait for a replica that is paused.
		if reads, creates := measuring(o); reads || creates || c.rnd.IntN(2) == 0 {
			limit = shortDeadline
		}
		o.Attempts = append(o.Attempts, c.try(o, r, limit, fmt.Sprintf("%s.%d.%d", c.name, c.serial, n), call))
		if o.last().clear() || o.Kind == get || o.Kind == list || o.Kind == check {
			return
		}
		if !c.pause(c.giveUp, 50, 200) {
			return
		}
	}
}

func (c *client) try(o *operation, r *replica, limit time.Duration, adminID string, call func(context.Context, *replica, string) error) attempt {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	a := attempt{Replica: r.index, Start: c.h.now(), Deadline: limit, AdminID: adminID}
	err := call(ctx, r, adminID)
	a.End = c.h.now()
	s := status.Convert(err)
	a.Code = s.Code().String()
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			a.Reason = info.GetReason()
			o.State = info.GetMetadata()["from"]
		}
	}
	return a
}

// pause waits a random time in milliseconds and tells whether the context still goes on.
func (c *client) pause(ctx context.Context, from, to int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(from+c.rnd.IntN(to-from+1)) * time.Millisecond):
		return true
	}
}

func (c *client) create(o *operation) {
	o.Kind = create
	o.Key = fmt.Sprintf("%s-%d", c.name, c.serial)
	req := &bookingpb.CreateBookingRequest{
		VenueId: venueID, Table: &commonpb.TableRef{TableId: o.Tables[0]}, Slot: o.slot(),
		PartySize: o.Party, CustomerName: "Guest of " + c.name, CustomerPhone: "+49 30 1234567",
		// The same in each attempt, as it is part of the request that the key stands for.
		AdminId: o.Key, IdempotencyKey: o.Key,
	}
	var twin sync.WaitGroup
	if c.rnd.IntN(20) == 0 {
		other := c.routing.pick(c.rnd.IntN)
		twin.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if b, err := other.bookings.CreateBooking(ctx, req); err == nil {
				o.Twin = b.GetId()
			}
		})
	}
	c.do(o, func(ctx context.Context, r *replica, _ string) error {
		b, err := r.bookings.CreateBooking(ctx, req)
		if err == nil {
			o.BookingID, o.Status = b.GetId(), b.GetStatus()
		}
		return err
	})
	twin.Wait()
}

func (c *client) change(date, id, to string) *operation {
	o := &operation{Kind: change, Date: date, BookingID: id, To: to}
	c.do(o, func(ctx context.Context, r *replica, adminID string) error {
		var b *bookingpb.Booking
		var err error
		switch to {
		case "confirmed":
			b, err = r.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: id, AdminId: adminID})
		case "cancelled":
			b, err = r.bookings.CancelBooking(ctx, &bookingpb.CancelBookingRequest{Id: id, AdminId: adminID, Reason: "changed their plans"})
		case "seated":
			b, err = r.bookings.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: id, AdminId: adminID})
		case "finished":
			b, err = r.bookings.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: id, AdminId: adminID})
		case "no_show":
			b, err = r.bookings.MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: id, AdminId: adminID})
		}
		if err == nil {
			o.Status = b.GetStatus()
		}
		return err
	})
	return o
}

func (c *client) get(date, id string) {
	o := &operation{Kind: get, Date: date, BookingID: id}
	c.do(o, func(ctx context.Context, r *replica, _ string) error {
		b, err := r.bookings.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: id})
		if err == nil {
			o.Status = b.GetStatus()
		}
		return err
	})
}

// list asks for the bookings of a table on a day.
func (c *client) list(date, table string) {
	o := &operation{Kind: list, Date: date, Tables: []string{table}}
	c.do(o, func(ctx context.Context, r *replica, _ string) error {
		page, err := r.bookings.ListBookings(ctx, &bookingpb.ListBookingsRequest{
			VenueId: venueID, Date: date, TableId: table, Limit: 500,
		})
		if err == nil && len(page.GetBookings()) < 500 {
			o.Listed = make(map[string]string)
			for _, b := range page.GetBookings() {
				o.Listed[b.GetId()] = b.GetStatus()
			}
		}
		return err
	})
}

func (c *client) check(o *operation) {
	o.Kind = check
	c.do(o, func(ctx context.Context, r *replica, _ string) error {
		answer, err := r.bookings.CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{
			VenueId: venueID, TableIds: o.Tables, Slot: o.slot(),
		})
		if err == nil {
			o.Free = make(map[string]bool)
			for _, t := range answer.GetTables() {
				o.Free[t.GetTableId()] = t.GetAvailable()
			}
		}
		return err
	})
}

func (o *operation) slot() *commonpb.Slot {
	return &commonpb.Slot{
		Date: o.Date, StartTime: fmt.Sprintf("%02d:%02d", o.From/60, o.From%60), DurationMinutes: int32(o.Minutes),
	}
}
