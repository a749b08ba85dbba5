package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// finding is a booking that is looked for.
type finding struct {
	id string
	// booking is nil when there is none.
	booking *dom.Booking
}

const findStatement = `SELECT ` + columns + ` FROM bookings WHERE id = ANY ($1)`

// GetBooking implements dom.Repository.
func (r *Repository) GetBooking(ctx context.Context, id string) (*dom.Booking, error) {
	begin, f := time.Now(), &finding{id: id}
	err := r.finds.do(ctx, f)
	var no *notStarted
	if errors.Is(err, errAlone) || errors.As(err, &no) && ctx.Err() == nil {
		err = r.read(ctx, "get_booking", func(conn *pgxpool.Conn) error { return find(ctx, conn, []*finding{f}) })
	} else {
		r.metrics.ObserveQuery("get_booking", begin)
		err = asDomain(ctx, err)
	}
	switch {
	case err != nil:
		return nil, err
	case f.booking == nil:
		return nil, dom.ErrNotFound
	}
	return f.booking, nil
}

// findGathered runs one batch of bookings that are looked for.
func (r *Repository) findGathered(waiting context.Context, take func() []*member[*finding]) error {
	return runBatch(waiting, r.pool, take, func(conn *pgxpool.Conn, batch []*member[*finding]) error {
		finds := make([]*finding, len(batch))
		// It goes on for as long as anybody waits for it.
		var last time.Time
		for i, m := range batch {
			finds[i] = m.work
			deadline, ok := m.ctx.Deadline()
			if !ok {
				deadline = time.Now().Add(writeTimeout)
			}
			if deadline.After(last) {
				last = deadline
			}
		}
		ctx, cancel := context.WithDeadline(context.WithoutCancel(batch[0].ctx), last)
		defer cancel()
		return find(ctx, conn, finds)
	})
}

// find reads bookings by their ids.
func find(ctx context.Context, conn *pgxpool.Conn, finds []*finding) error {
	ids := make([]string, len(finds))
	for i, f := range finds {
		ids[i] = f.id
	}
	rows, err := conn.Query(ctx, findStatement, ids)
	if err != nil {
		return err
	}
	found, err := scanBookings(rows)
	if err != nil {
		return err
	}
	for _, b := range found {
		for _, f := range finds {
			if f.id == b.ID {
				own := *b // Two callers may ask for the same one.
				f.booking = &own
			}
		}
	}
	return nil
}
