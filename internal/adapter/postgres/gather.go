package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

const (
	// batchesAtOnce is the most batches that run at a time. While one does, the next calls gather: with
	// more of them, fewer would gather for each, and seven creates cost half in a batch of what they cost alone.
	batchesAtOnce = 2
	// patience is how long a batch runs before the next is begun beside it: it may wait for a lock, or the
	// disk may be slow.
	patience = 10 * time.Millisecond
	// stuckAfter is how long a batch runs before it is not counted any more: its connection may be dead, and
	// those who come after it must not wait for that to show.
	stuckAfter = time.Second
	// batchSize is the most members of a batch.
	batchSize = 64
)

// errAlone says that a piece of work is not decided and has to be tried without others.
var errAlone = errors.New("to be tried alone")

// gatherer does pieces of work W together that come while others are done: in one transaction. Nobody waits
// for company: what comes alone is a batch of one.
type gatherer[W any] struct {
	// run waits for a connection, takes the batch then, so that it holds all who came meanwhile, and
	// settles its members. An error says that there was no connection, and that nothing was taken.
	run func(ctx context.Context, take func() []*member[W]) error
	// reads tells that nothing is changed: who has no more time need not hear what came of it, and the next
	// batch does not wait for this one, as there is no commit that they would share.
	reads bool

	mu      sync.Mutex
	queue   []*member[W]
	workers int
	// late are the workers that have waited for a connection, and run their batch, for longer than patience.
	late int
	// waiting ends when nobody is left in the queue.
	waiting context.Context
	ended   context.CancelFunc
}

// member is a piece of work on its way through a batch.
type member[W any] struct {
	// ctx is its caller's.
	ctx  context.Context
	work W
	// once is what a batch cannot have twice.
	once [][2]string
	// err is what the work came to when the batch did not fail.
	err error
	// outcome has room for the one answer: nil when it is done.
	outcome chan error
	// twins would make the batch fail because of this one: they are tried when it is decided.
	twins []*member[W]

	joined time.Time
	// What its trace tells.
	waited time.Duration
	among  int
}

// do does a piece of work together with others. Those that have a part of once in common follow each other.
//
// Errors: what run settles it with, errAlone, *notStarted; that of ctx, when nothing is changed.
func (g *gatherer[W]) do(ctx context.Context, work W, once ...[2]string) error {
	if err := ctx.Err(); err != nil {
		return &notStarted{err}
	}
	m := &member[W]{ctx: ctx, work: work, once: once, outcome: make(chan error, 1), joined: time.Now()}
	g.join(m)
	var err error
	select {
	case err = <-m.outcome:
	case <-ctx.Done():
		if g.withdraw(m) {
			return &notStarted{ctx.Err()}
		}
		if g.reads {
			return ctx.Err()
		}
		// The batch has begun and is not broken off: what comes of it is known soon.
		err = <-m.outcome
	}
	if span := trace.SpanFromContext(ctx); m.among > 0 && span.IsRecording() {
		span.SetAttributes(attribute.Int("batch.size", m.among),
			attribute.Float64("batch.wait_ms", float64(m.waited.Microseconds())/1000))
	}
	return err
}

func (g *gatherer[W]) join(m *member[W]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.waiting, g.ended = context.WithCancel(context.Background())
	}
	g.queue = append(g.queue, m)
	g.begin()
}

// begin starts a worker if there is work for one more. The caller has locked.
func (g *gatherer[W]) begin() {
	if len(g.queue) > 0 && g.workers < batchesAtOnce && (g.reads || g.late >= g.workers) {
		g.workers++
		go g.work()
	}
}

// withdraw tells whether the member was still waiting; it is not any more.
func (g *gatherer[W]) withdraw(m *member[W]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.remove(func(other *member[W]) bool { return other == m }) > 0
}

// take answers the next batch: those who have waited longest, at most batchSize.
func (g *gatherer[W]) take() []*member[W] {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	var batch []*member[W]
	known := make(map[[2]string]*member[W])
	g.remove(func(m *member[W]) bool {
		if len(batch) == batchSize {
			return false
		}
		for _, id := range m.once {
			if first := known[id]; first != nil {
				first.twins = append(first.twins, m)
				return true
			}
		}
		for _, id := range m.once {
			known[id] = m
		}
		m.waited = now.Sub(m.joined)
		batch = append(batch, m)
		return true
	})
	for _, m := range batch {
		m.among = len(batch)
	}
	return batch
}

// remove takes the members that match out of the queue, in its order, and answers how many. The
// caller has locked.
func (g *gatherer[W]) remove(match func(*member[W]) bool) int {
	before := len(g.queue)
	g.queue = slices.DeleteFunc(g.queue, match)
	if before > 0 && len(g.queue) == 0 {
		g.ended()
	}
	return before - len(g.queue)
}

// work runs batches until nobody waits.
func (g *gatherer[W]) work() {
	for {
		g.mu.Lock()
		if len(g.queue) == 0 {
			g.workers--
			g.mu.Unlock()
			return
		}
		waiting := g.waiting
		g.mu.Unlock()
		done := g.watch()
		// When all have left, or the other worker has taken them, it only ended its wait.
		if err := g.runSafely(waiting); err != nil && waiting.Err() == nil {
			g.fail(&notStarted{err})
		}
		if stuck := done(); stuck {
			return // Another one works in its place.
		}
	}
}

// runSafely runs a batch. When that panics, each of its members is tried alone, so that the one it is because
// of panics in its own call, which recovers from it.
func (g *gatherer[W]) runSafely(waiting context.Context) (err error) {
	var taken []*member[W]
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if taken == nil {
			err = fmt.Errorf("panic: %v", v)
		}
		for _, m := range taken {
			m.settle(errAlone)
		}
	}()
	return g.run(waiting, func() []*member[W] {
		taken = g.take()
		return taken
	})
}

// watch lets the next batch begin when the one that begins now takes long. done says that it is over, and
// tells whether it was stuck: its worker is then not counted any more.
func (g *gatherer[W]) watch() (done func() (stuck bool)) {
	var late, stuck, over bool
	var timer *time.Timer
	g.mu.Lock()
	defer g.mu.Unlock()
	timer = time.AfterFunc(patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		switch {
		case over:
			return
		case !late:
			late = true
			g.late++
			timer.Reset(stuckAfter - patience)
		default:
			stuck = true
			g.late--
			g.workers--
		}
		g.begin()
	})
	return func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		timer.Stop()
		over = true
		if late && !stuck {
			g.late--
		}
		return stuck
	}
}

// fail answers err to all who wait.
func (g *gatherer[W]) fail(err error) {
	var failed []*member[W]
	g.mu.Lock()
	g.remove(func(m *member[W]) bool {
		failed = append(failed, m)
		return true
	})
	g.mu.Unlock()
	for _, m := range failed {
		m.settle(err)
	}
}

// settle ends the member's wait.
func (m *member[W]) settle(err error) {
	m.outcome <- err
	for _, twin := range m.twins {
		twin.settle(errAlone)
	}
}

// runBatch waits for a connection, takes the batch, works on it, and settles its members. When the work
// fails, that is because of one of them, which will hear of it alone, or of all, or it is done and nobody
// could say so: what is tried again finds out.
func runBatch[W any](
	waiting context.Context, pool *pgxpool.Pool, take func() []*member[W], work func(*pgxpool.Conn, []*member[W]) error,
) error {
	var batch []*member[W]
	var failed error
	err := pool.AcquireFunc(waiting, func(conn *pgxpool.Conn) error {
		if batch = take(); len(batch) > 0 {
			failed = work(conn, batch)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range batch {
		if failed != nil {
			m.err = errAlone
		}
		m.settle(m.err)
	}
	return nil
}
