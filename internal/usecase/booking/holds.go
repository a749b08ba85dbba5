package booking

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// releaseTimeout bounds the release of keys, which goes on when the caller has gone.
const releaseTimeout = time.Second

// hold is the fast path of a create on one table.
type hold struct {
	key string
	// mine tells that the key is owned by the new booking.
	mine bool
	// owner is the booking whose id was found under the key and which does not seem to occupy the
	// table: it may be taken over when the new booking is written.
	owner string
}

// takeHold tries to take the key of a table for a new booking.
//
// Errors: dom.ErrSlotTaken, when the owner of the key occupies the table. Redis being away is none:
// the database decides then.
func (s *Service) takeHold(ctx context.Context, b *dom.Booking, tableID string) (hold, error) {
	h := hold{key: dom.HoldKey(b.VenueID, tableID, b.Slot)}
	acquired, err := s.holds.SetHold(ctx, h.key, b.ID, s.cfg.HoldTTL)
	if err != nil || acquired {
		h.mine = acquired
		s.countFallback(err)
		return h, nil
	}
	owner, err := s.holds.GetHold(ctx, h.key)
	if err != nil {
		s.countFallback(err)
		return h, nil
	}
	if owner != "" {
		// Whether a hold is overdue is decided by the database's clock, not by this process's.
		taken, err := s.repo.TakenTables(ctx, b.VenueID, []string{tableID}, b.Sitting)
		if err != nil {
			return h, err
		}
		if taken[tableID] {
			return h, dom.ErrSlotTaken
		}
		holder, err := s.repo.GetBooking(ctx, owner)
		switch {
		// Of an owner that is being created, or whose process died, nothing is known; an overdue hold
		// does not need its key any more.
		case errors.Is(err, dom.ErrNotFound),
			err == nil && holder.Status.Occupies() && (holder.Sitting.Overlaps(b.Sitting) || holder.Overdue(s.now())):
			h.owner = owner
			return h, nil
		case err != nil:
			return h, err
		// The venue changed its time zone since: the same local time is another instant.
		case holder.Status.Occupies():
			return h, nil
		}
		zerolog.Ctx(ctx).Warn().
			Str("booking_id", owner).Str("venue_id", b.VenueID).Str("table_id", tableID).
			Str("status", string(holder.Status)).
			Msg("Clearing stale hold for inactive booking")
	}
	h.mine, err = s.holds.ReplaceHold(ctx, h.key, owner, b.ID, s.cfg.HoldTTL)
	s.countFallback(err)
	return h, nil
}

// keepHold puts the id of a booking that was written under its key, if it is not there already.
func (s *Service) keepHold(ctx context.Context, b *dom.Booking, h hold) {
	if h.mine {
		return
	}
	_, err := s.holds.ReplaceHold(ctx, h.key, h.owner, b.ID, s.cfg.HoldTTL)
	s.countFallback(err)
}

// releaseHolds gives up those of the keys that the booking owns.
func (s *Service) releaseHolds(ctx context.Context, b *dom.Booking, keys []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	for _, key := range keys {
		_, err := s.holds.DeleteHold(ctx, key, b.ID)
		s.countFallback(err)
	}
}

// releaseExpired gives up the keys of many holds that have expired.
func (s *Service) releaseExpired(ctx context.Context, expired []*dom.Booking) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	var holds []dom.Hold
	for _, b := range expired {
		for _, key := range b.HoldKeys() {
			holds = append(holds, dom.Hold{Key: key, BookingID: b.ID})
		}
	}
	if len(holds) > 0 {
		s.countFallback(s.holds.DeleteHolds(ctx, holds))
	}
}

func (s *Service) countFallback(err error) {
	if err != nil {
		s.metrics.RedisFallback()
	}
}
