package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// party is a group of guests, with what it wants and, once it has one, its booking.
type party struct {
	*evening
	// r makes all choices of this party, so that they do not depend on when others make theirs.
	r      *rand.Rand
	number int
	venue  string
	size   int
	walkIn bool
	// days is how many days after this evening the sitting is, begins when, since midnight.
	days   int
	begins time.Duration
	table  string
	keyed  bool
	id     string
}

// newParty makes up a party that asks at a time of the evening.
func (e *evening) newParty(number int, now time.Duration) *party {
	r := rand.New(rand.NewPCG(e.seed, uint64(number)))
	p := &party{evening: e, r: r, number: number, venue: venueID(pickVenue(r, e.venues)), size: pick(r, partySizes)}
	p.walkIn, p.keyed = r.Float64() < walksIn, r.Float64() < hasKey
	if p.walkIn {
		e.walkIns.Add(1)
	} else {
		p.days = pick(r, leadDays)
		p.wish(now)
	}
	tables, smallest := fitting(p.size)
	p.table = tables[r.IntN(smallest)]
	return p
}

// wish draws a time for the sitting. Tonight it is a quarter of an hour ahead, and when it is too late for
// that, tomorrow.
func (p *party) wish(now time.Duration) {
	var ok bool
	if p.days == 0 {
		if p.begins, ok = pickSitting(p.r, now+15*time.Minute); ok {
			return
		}
		p.days = 1
	}
	p.begins, _ = pickSitting(p.r, 0)
}

// slot is the sitting. Walk-ins have theirs now, by the machine's clock, as the service's is.
func (p *party) slot() *commonpb.Slot {
	begins := p.date.AddDate(0, 0, p.days).Add(p.begins)
	if p.walkIn {
		begins = time.Now().In(location)
	}
	return &commonpb.Slot{
		Date: begins.Format(time.DateOnly), StartTime: begins.Format("15:04"),
		DurationMinutes: int32(turnTime(p.size) / time.Minute),
	}
}

// ask tries to get a table, another one or another time after a refusal, until the party gives up.
func (p *party) ask(ctx context.Context, planned time.Time) {
	for try := range tries {
		if try > 0 {
			if !p.other(ctx) {
				break
			}
			planned = time.Now()
		}
		ok, refused := p.create(ctx, planned, try)
		if ok {
			p.booked.Add(1)
			p.hold(ctx)
			return
		}
		if !refused {
			return
		}
	}
	p.gaveUp.Add(1)
}

// other looks for a table that is free, at the time wished for or else at another one. Those who are
// there already do not wait.
func (p *party) other(ctx context.Context) bool {
	if p.free(ctx) {
		return true
	}
	if p.walkIn {
		return false
	}
	p.wish(p.clock.evening(time.Now()))
	return p.free(ctx)
}

// free takes the smallest of the tables that are free.
func (p *party) free(ctx context.Context) (found bool) {
	tables, _ := fitting(p.size)
	p.call(ctx, read, time.Now(), func(ctx context.Context) error {
		answer, err := p.client(p.number).CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{
			VenueId: p.venue, TableIds: tables, Slot: p.slot(),
		})
		for _, t := range answer.GetTables() {
			if t.GetAvailable() {
				p.table, found = t.GetTableId(), true
				break
			}
		}
		return err
	})
	return found
}

// create asks for the table. With an idempotency key it is asked for again when the answer is lost, which
// happens to those who do not wait long.
func (p *party) create(ctx context.Context, planned time.Time, try int) (ok, refused bool) {
	req := &bookingpb.CreateBookingRequest{
		VenueId: p.venue, Table: &commonpb.TableRef{TableId: p.table}, Slot: p.slot(), PartySize: int32(p.size),
		CustomerName: "Ada Lovelace", CustomerPhone: "+49 30 1234567", AdminId: "evening",
	}
	patience := callTimeout
	if p.keyed {
		req.IdempotencyKey = fmt.Sprintf("%s-%d-%d", p.date.Format(time.DateOnly), p.number, try)
		if p.r.Float64() < losesAnswer {
			patience = between(p.r, time.Millisecond, 20*time.Millisecond)
		}
	}
	p.asked(planned)
	answer, err := p.createWithin(ctx, req, patience)
	if p.keyed && lost(err) && ctx.Err() == nil {
		p.repeats.Add(1)
		if patience < callTimeout {
			planned = time.Now() // the wait before was of the guest's own choice
		}
		answer, err = p.createWithin(ctx, req, callTimeout)
	}
	p.id = answer.GetId()
	return p.note(create, planned, err)
}

func (p *party) createWithin(ctx context.Context, req *bookingpb.CreateBookingRequest, limit time.Duration) (*bookingpb.Booking, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return p.client(p.number).CreateBooking(ctx, req)
}

// lost tells whether an error leaves open what became of the request.
func lost(err error) bool {
	code := status.Code(err)
	return code == codes.DeadlineExceeded || code == codes.Unavailable || code == codes.Canceled
}
