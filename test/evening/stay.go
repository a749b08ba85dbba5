package main

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// after notes what the party does when a time of the evening has passed.
func (p *party) after(wait time.Duration, s step) { p.at(p.clock.evening(time.Now())+wait, s) }

// at notes what the party does at a time of the evening.
func (p *party) at(at time.Duration, s step) { p.add(p.moment(at), s) }

// hold goes on from a table that is held: most confirm it, some call it off, some forget it. Walk-ins sit
// down.
func (p *party) hold(ctx context.Context) {
	if p.walkIn {
		if p.confirm(ctx, time.Now()) {
			p.sit(ctx, time.Now())
		}
		return
	}
	switch does := p.r.Float64(); {
	case does < abandons:
		p.abandoned.Add(1)
	case does < abandons+dropsHold:
		p.after(between(p.r, time.Minute, 10*time.Minute), func(planned time.Time) { p.cancel(ctx, planned) })
	default:
		p.after(between(p.r, time.Minute, 20*time.Minute), func(planned time.Time) {
			planned = p.look(ctx, planned)
			if p.confirm(ctx, planned) {
				p.expect(ctx)
			}
		})
	}
}

// expect goes on from a confirmed booking: some cancel it, and those of tonight come, or do not.
func (p *party) expect(ctx context.Context) {
	now := p.clock.evening(time.Now())
	come := p.begins + between(p.r, -10*time.Minute, 15*time.Minute)
	switch does := p.r.Float64(); {
	case does < cancels:
		at := now + between(p.r, 10*time.Minute, 3*time.Hour)
		if p.days == 0 {
			at = min(at, p.begins)
		}
		p.at(at, func(planned time.Time) { p.cancel(ctx, p.look(ctx, planned)) })
	case p.days > 0:
	case p.r.Float64() < isNoShow:
		p.at(p.begins+20*time.Minute, func(planned time.Time) { p.missOut(ctx, planned) })
	default:
		p.at(max(come, now), func(planned time.Time) { p.sit(ctx, p.list(ctx, planned)) })
	}
}

// look reads the booking, as some do, and answers when the party goes on.
func (p *party) look(ctx context.Context, planned time.Time) time.Time {
	if p.r.Float64() >= looksAgain {
		return planned
	}
	p.call(ctx, read, planned, func(ctx context.Context) error {
		_, err := p.client(p.number).GetBooking(ctx, &bookingpb.GetBookingRequest{Id: p.id})
		return err
	})
	return time.Now()
}

// list reads the bookings of the house, as its host does when a party comes in.
func (p *party) list(ctx context.Context, planned time.Time) time.Time {
	p.call(ctx, read, planned, func(ctx context.Context) error {
		_, err := p.client(p.number).ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: p.venue, Date: p.slot().GetDate()})
		return err
	})
	return time.Now()
}

// alter asks for a change of the booking, counts it in made, and answers whether it was made.
func (p *party) alter(ctx context.Context, planned time.Time, made *atomic.Int64, do func(context.Context) error) bool {
	ok, _ := p.call(ctx, change, planned, do)
	if ok {
		made.Add(1)
	}
	return ok
}

func (p *party) confirm(ctx context.Context, planned time.Time) bool {
	return p.alter(ctx, planned, &p.confirmed, func(ctx context.Context) error {
		_, err := p.client(p.number).ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: p.id, AdminId: "evening"})
		return err
	})
}

func (p *party) cancel(ctx context.Context, planned time.Time) {
	p.alter(ctx, planned, &p.cancelled, func(ctx context.Context) error {
		_, err := p.client(p.number).CancelBooking(ctx, &bookingpb.CancelBookingRequest{
			Id: p.id, AdminId: "evening", Reason: "changed their plans",
		})
		return err
	})
}

// sit seats the party, which leaves after its turn time, more or less.
func (p *party) sit(ctx context.Context, planned time.Time) {
	ok := p.alter(ctx, planned, &p.seated, func(ctx context.Context) error {
		_, err := p.client(p.number).MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: p.id, AdminId: "evening"})
		return err
	})
	if ok {
		p.after(stays(p.r, p.size), func(planned time.Time) { p.leave(ctx, planned) })
	}
}

// stays draws how long a party sits: from two thirds of its turn time to all of it.
func stays(r *rand.Rand, size int) time.Duration {
	turn := turnTime(size)
	return between(r, turn*2/3, turn)
}

func (p *party) leave(ctx context.Context, planned time.Time) {
	p.alter(ctx, planned, &p.finished, func(ctx context.Context) error {
		_, err := p.client(p.number).MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: p.id, AdminId: "evening"})
		return err
	})
}

func (p *party) missOut(ctx context.Context, planned time.Time) {
	p.alter(ctx, planned, &p.noShows, func(ctx context.Context) error {
		_, err := p.client(p.number).MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: p.id, AdminId: "evening"})
		return err
	})
}
