package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

const (
	venueID = "upgrade"
	tables  = 6
	// hosts is how many book at once, days how far ahead: few enough that some ask for the same table.
	hosts, days = 8, 60
	// callLimit is more than a call may take, with its retries.
	callLimit = 12 * time.Second
	// patience is how long a create is tried for, and pause the time between.
	patience, pause = 20 * time.Second, 200 * time.Millisecond
)

func place() devstack.Place {
	p := devstack.Place{ID: venueID, Name: "Upgrade", TimeZone: "Europe/Berlin"}
	for n := range tables {
		p.Tables = append(p.Tables, devstack.Table{ID: fmt.Sprintf("t%d", n), RoomID: "room", Name: fmt.Sprint(n), Capacity: 4})
	}
	return p
}

// guests book until they are told to end.
type guests struct {
	route *route
	stop  context.CancelFunc
	all   sync.WaitGroup
}

func startGuests(t *tally, phase string, clients ...bookingpb.BookingServiceClient) *guests {
	ctx, stop := context.WithCancel(context.Background())
	g := &guests{route: &route{}, stop: stop}
	g.move(phase, clients...)
	for n := range hosts {
		h := &host{name: fmt.Sprintf("host-%d", n), route: g.route, tally: t}
		g.all.Go(func() {
			for ctx.Err() == nil {
				h.serve()
			}
		})
	}
	return g
}

// move has the guests use other clients from now on.
func (g *guests) move(phase string, clients ...bookingpb.BookingServiceClient) {
	g.route.set(phase, clients)
}

// end lets each finish what she has begun.
func (g *guests) end() {
	g.stop()
	g.all.Wait()
}

// host books one party after the other.
type host struct {
	name   string
	serial int
	route  *route
	tally  *tally
}

// call makes a call through any client and counts it; refusals are reasons that may come.
func (h *host) call(method string, do func(context.Context, bookingpb.BookingServiceClient) error, refusals ...string) error {
	phase, client := h.route.pick(rand.IntN)
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	began := time.Now()
	err := do(ctx, client)
	h.tally.count(phase, method, time.Since(began), err, slices.Contains(refusals, reason(err)))
	return err
}

func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// create holds a table. As docs/clients.md has it, its own loop repeats it with the same key when the answer was not
// clear: the service config has no retries for it. Nil is a refusal.
func (h *host) create(req *bookingpb.CreateBookingRequest) (b *bookingpb.Booking) {
	for began := time.Now(); ; time.Sleep(pause) {
		err := h.call("CreateBooking", func(ctx context.Context, c bookingpb.BookingServiceClient) (err error) {
			b, err = c.CreateBooking(ctx, req)
			if again(err) && time.Since(began) < patience {
				return &repeated{err}
			}
			return err
		}, "SLOT_TAKEN", "TABLE_UNAVAILABLE")
		if _, ok := err.(*repeated); !ok { //nolint:errorlint // it is never wrapped
			return b
		}
	}
}

func again(err error) bool {
	return status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded
}

// repeated is an answer that is not clear yet: its client asks again.
type repeated struct{ error }

func (h *host) serve() {
	h.serial++
	table := fmt.Sprintf("t%d", rand.IntN(tables))
	slot := &commonpb.Slot{
		Date:      time.Now().AddDate(0, 0, 2+rand.IntN(days)).Format(time.DateOnly),
		StartTime: []string{"12:00", "15:00", "18:00"}[rand.IntN(3)], DurationMinutes: 120,
	}
	_ = h.call("CheckTableAvailability", func(ctx context.Context, c bookingpb.BookingServiceClient) error {
		_, err := c.CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{VenueId: venueID, TableIds: []string{table}, Slot: slot})
		return err
	})
	key := fmt.Sprintf("%s-%d", h.name, h.serial)
	req := &bookingpb.CreateBookingRequest{
		VenueId: venueID, Table: &commonpb.TableRef{TableId: table}, Slot: slot, PartySize: 2,
		CustomerName: "Guest of " + h.name, CustomerPhone: "+49 30 1234567", AdminId: h.name, IdempotencyKey: key,
	}
	b := h.create(req)
	if b == nil {
		return
	}
	// On another replica, half of the time of the other version: the key is known there.
	if twin := h.create(req); twin.GetId() != b.GetId() {
		h.tally.wrong("key %s made booking %s and then %q", key, b.GetId(), twin.GetId())
	}
	lives := [][]string{{"confirmed"}, {"cancelled"}, {"confirmed", "cancelled"}, {"confirmed", "seated", "no_show"}, {"confirmed", "seated", "finished"}}
	state := b.GetStatus()
	for _, to := range lives[rand.IntN(len(lives))] {
		for range 2 { // The second answers the booking as it is.
			h.change(b.GetId(), to)
		}
		state = to
	}
	h.expect(b.GetId(), slot.GetDate(), state)
}

func (h *host) change(id, to string) {
	_ = h.call("to "+to, func(ctx context.Context, c bookingpb.BookingServiceClient) (err error) {
		var b *bookingpb.Booking
		switch to {
		case "confirmed":
			b, err = c.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: id, AdminId: h.name})
		case "cancelled":
			b, err = c.CancelBooking(ctx, &bookingpb.CancelBookingRequest{Id: id, AdminId: h.name, Reason: "changed their plans"})
		case "seated":
			b, err = c.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: id, AdminId: h.name})
		case "finished":
			b, err = c.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: id, AdminId: h.name})
		case "no_show":
			b, err = c.MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: id, AdminId: h.name})
		}
		if err == nil && b.GetStatus() != to {
			h.tally.wrong("booking %s was to be %s and is %s", id, to, b.GetStatus())
		}
		return err
	})
}

// expect reads the booking alone and in the list of its day.
func (h *host) expect(id, date, state string) {
	_ = h.call("GetBooking", func(ctx context.Context, c bookingpb.BookingServiceClient) error {
		b, err := c.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: id})
		if err == nil && b.GetStatus() != state {
			h.tally.wrong("booking %s is %s, not %s", id, b.GetStatus(), state)
		}
		return err
	})
	_ = h.call("ListBookings", func(ctx context.Context, c bookingpb.BookingServiceClient) error {
		page, err := c.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: venueID, Date: date, Limit: 500})
		if err == nil && len(page.GetBookings()) < 500 && !slices.ContainsFunc(page.GetBookings(), func(b *bookingpb.Booking) bool {
			return b.GetId() == id && b.GetStatus() == state
		}) {
			h.tally.wrong("booking %s is not in the list of %s as %s", id, date, state)
		}
		return err
	})
}
