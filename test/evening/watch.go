package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bookingcontrol/booker-booking-svc/test/consistency"
	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

// watch sees, beside the guests, the holds that run out, by their events, and the events that wait.
type watch struct {
	*evening
	db       *pgxpool.Pool
	consumer *kgo.Client
	watching sync.WaitGroup
	cancel   context.CancelFunc
}

// newWatch begins to read where the topic ends. No hold runs out before it has found that.
func newWatch(ctx context.Context, s *load.Stack, e *evening, db *pgxpool.Pool) (*watch, error) {
	consumer, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...), kgo.ConsumeTopics("booking.expired"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	if err != nil {
		return nil, err
	}
	w := &watch{evening: e, db: db, consumer: consumer}
	ctx, w.cancel = context.WithCancel(ctx)
	w.watching.Go(func() {
		for ctx.Err() == nil {
			consumer.PollFetches(ctx).EachRecord(func(*kgo.Record) { e.expired(time.Now()) })
		}
	})
	w.watching.Go(func() { w.count(ctx) })
	return w, nil
}

func (w *watch) stop() {
	w.cancel()
	w.watching.Wait()
	w.consumer.Close()
}

// count looks at the end of each interval how many events wait.
func (w *watch) count(ctx context.Context) {
	for i := range intervals {
		end := opens + time.Duration(i+1)*interval
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(w.moment(end))):
		}
		n, err := waitingEvents(ctx, w.db)
		if err != nil {
			w.failed(time.Now(), err)
			continue
		}
		r := w.waits(i, n)
		fmt.Fprintf(os.Stderr, "%s: %d creates answered, p99 %v, %d errors, %d events wait\n", timeText(end),
			r.answered, load.Percentile(r.times[create], 99).Round(time.Millisecond), r.errors, n)
	}
}

func waitingEvents(ctx context.Context, db *pgxpool.Pool) (n int, err error) {
	err = db.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE status = 'pending'`).Scan(&n)
	return n, err
}

// calm is how long after the evening forgotten holds may still be there, and events wait: a hold's time,
// and some more.
const calm = 2 * time.Minute

// aftermath waits until the last forgotten holds have run out and every event is sent, and answers what is
// wrong then.
func (e *evening) aftermath(ctx context.Context, db *pgxpool.Pool) (wrong []string, err error) {
	const left = `
		SELECT (SELECT count(*) FROM bookings WHERE status = 'held') + (SELECT count(*) FROM outbox WHERE status = 'pending')
			+ (SELECT count(*) FROM outbox WHERE status = 'dlq')`
	for end, n := time.Now().Add(calm), -1; n != 0; time.Sleep(200 * time.Millisecond) {
		if err := db.QueryRow(ctx, left).Scan(&n); err != nil {
			return nil, err
		}
		if time.Now().After(end) {
			wrong = append(wrong, fmt.Sprintf("%d holds and events are left after %v", n, calm))
			break
		}
	}
	found, err := consistency.Violations(ctx, db)
	if err != nil {
		return nil, err
	}
	wrong = append(wrong, found...)
	var bookings int64
	if err := db.QueryRow(ctx, `SELECT count(*) FROM bookings`).Scan(&bookings); err != nil {
		return nil, err
	}
	if booked := e.booked.Load(); bookings != booked {
		wrong = append(wrong, fmt.Sprintf("%d bookings are there, and %d were answered", bookings, booked))
	}
	if n := e.sum(intervals).errors; n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d errors that are no refusals, first %q", n, e.failures))
	}
	return wrong, nil
}
