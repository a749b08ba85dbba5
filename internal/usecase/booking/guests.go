package booking

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

const (
	// guestInterval is the time between two searches for guests' data that is due.
	guestInterval = time.Hour
	// guestBatch is how many bookings are erased in one transaction: few enough for those who change bookings
	// meanwhile. guestEvents is how many events of the outbox are read at a time, and guestPause separates two
	// batches.
	guestBatch  = 100
	guestEvents = 1000
	guestPause  = 50 * time.Millisecond
)

// GuestData is what guests told of themselves, as its retention sees it. Every method may answer
// *dom.UnavailableError for Postgres.
type GuestData interface {
	// EraseDue erases it in bookings that ended longer ago than age, at most limit, and answers in how many.
	EraseDue(ctx context.Context, age time.Duration, limit int) (int, error)
	// EraseDueEvents erases it in the events of such bookings on their way to Kafka, reading at most limit
	// events with an id above after. It answers in how many, and the id to go on after, 0 at the end.
	EraseDueEvents(ctx context.Context, age time.Duration, after int64, limit int) (erased int, next int64, err error)
	// CountUnended counts the bookings whose sitting was over longer ago than age and that nobody has ended.
	CountUnended(ctx context.Context, age time.Duration) (int, error)
}

// StartGuestErasure erases what guests told from bookings that ended longer ago than age, until ctx ends. Any
// number of replicas may run it.
func StartGuestErasure(ctx context.Context, guests GuestData, age time.Duration) {
	every(ctx, guestInterval, func() { eraseDue(ctx, guests, age) })
}

// eraseDue erases all that is due. What fails is tried again the next time.
func eraseDue(ctx context.Context, guests GuestData, age time.Duration) {
	log := zerolog.Ctx(ctx)
	ctx, end := startSpan(untraced(ctx), "EraseGuestData")
	bookings, events, err := eraseAllDue(ctx, guests, age)
	end(err)
	if bookings+events > 0 {
		log.Info().Int("bookings", bookings).Int("events", events).Msg("Guests' data erased: GUEST_DATA_RETENTION was over")
	}
	if err != nil && ctx.Err() == nil {
		log.Warn().Err(err).Msg("Failed to erase guests' data")
	}
	if ctx.Err() != nil {
		return
	}
	unended, err := guests.CountUnended(ctx, age)
	if err != nil && ctx.Err() == nil {
		log.Warn().Err(err).Msg("Failed to count bookings that nobody has ended")
	}
	if unended > 0 {
		log.Warn().Int("bookings", unended).
			Msg("Guests' data is kept for longer than GUEST_DATA_RETENTION: nobody has ended these bookings")
	}
}

// eraseAllDue begins with the events: those of a booking that tells no more would be found only by who looks at
// all of them, which the next time does.
func eraseAllDue(ctx context.Context, guests GuestData, age time.Duration) (bookings, events int, err error) {
	events, err = eraseDueEvents(ctx, guests, age)
	for full := err == nil; full; {
		var erased int
		erased, err = guests.EraseDue(ctx, age, guestBatch)
		bookings += erased
		full = err == nil && erased == guestBatch && sleep(ctx, guestPause)
	}
	return bookings, events, err
}

func eraseDueEvents(ctx context.Context, guests GuestData, age time.Duration) (events int, err error) {
	for next, more := int64(0), true; more; {
		var erased int
		erased, next, err = guests.EraseDueEvents(ctx, age, next, guestEvents)
		events += erased
		if err != nil {
			return events, err
		}
		more = next > 0 && sleep(ctx, guestPause)
	}
	return events, nil
}
