package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"gonum.org/v1/plot/plotter"
)

// delivery creates bookings at a rate, whether or not the last ones are answered, and answers how long
// after its answer each event was in a consumer's hands.
func (b *bench) delivery(ctx context.Context, perSecond int, d time.Duration) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	consumer, err := kgo.NewClient(kgo.SeedBrokers(b.Brokers...), kgo.ConsumeTopics("booking.held"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return r, err
	}
	defer consumer.Close()
	var (
		mu       sync.Mutex
		answered = map[string]time.Time{}
		arrived  = map[string]time.Time{}
		wg       sync.WaitGroup
	)
	consuming := make(chan struct{})
	go func() {
		defer close(consuming)
		for ctx.Err() == nil {
			fetches := consumer.PollFetches(ctx)
			now := time.Now()
			mu.Lock()
			fetches.EachRecord(func(record *kgo.Record) { arrived[string(record.Key)] = now })
			mu.Unlock()
		}
	}()
	time.Sleep(time.Second) // the consumer stands at the end of the topic
	began, n := time.Now(), int(d.Seconds()*float64(perSecond))
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		wg.Go(func() {
			answer, callErr := b.client(i).CreateBooking(ctx, createRequest(int(b.next.Add(1))))
			now := time.Now()
			mu.Lock()
			defer mu.Unlock()
			if callErr != nil {
				err = callErr
				return
			}
			answered[answer.GetId()] = now
		})
	}
	wg.Wait()
	r.elapsed = time.Since(began)
	for missing := n; err == nil && missing > 0; {
		time.Sleep(50 * time.Millisecond)
		mu.Lock()
		missing = 0
		for id := range answered {
			if _, ok := arrived[id]; !ok {
				missing++
			}
		}
		mu.Unlock()
		if ctx.Err() != nil {
			err = fmt.Errorf("%d of %d events did not arrive", missing, n)
		}
	}
	cancel()
	<-consuming
	for id, at := range answered {
		r.latencies = append(r.latencies, max(0, arrived[id].Sub(at)))
	}
	r.calls = len(r.latencies)
	return r, err
}

// drain lets n events of 500 bytes wait, all of a sudden, and answers how many a second the relay
// sends, what part of their speed creates keep meanwhile, and how many events wait after how many seconds.
func (b *bench) drain(ctx context.Context, db *pgxpool.Pool, n int) (perSecond, kept float64, waiting plotter.XYs, err error) {
	before, err := closed(ctx, 16, 2*time.Second, b.create)
	if err != nil {
		return 0, 0, nil, err
	}
	var last int64
	err = db.QueryRow(ctx, `
		WITH o AS (
			INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
			SELECT n % 64, 'booking.confirmed', gen_random_uuid(), convert_to('{"filler": "' || repeat('x', 486) || '"}', 'UTF8'),
				gen_random_uuid(), 2
			FROM generate_series(1, $1) n RETURNING id
		) SELECT max(id) FROM o`, n).Scan(&last)
	if err != nil {
		return 0, 0, nil, err
	}
	began := time.Now()
	over := make(chan struct{})
	var during result
	var creating error
	var wg sync.WaitGroup
	wg.Go(func() { during, creating = closedUntil(ctx, 16, over, b.create) })
	for left := n; left > 0 && err == nil; {
		waiting = append(waiting, plotter.XY{X: time.Since(began).Seconds(), Y: float64(left)})
		time.Sleep(100 * time.Millisecond)
		err = db.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE status = 'pending' AND id <= $1`, last).Scan(&left)
	}
	elapsed := time.Since(began)
	waiting = append(waiting, plotter.XY{X: elapsed.Seconds(), Y: 0})
	close(over)
	wg.Wait()
	if err == nil {
		err = creating
	}
	return float64(n) / elapsed.Seconds(), during.rate() / before.rate(), waiting, err
}
