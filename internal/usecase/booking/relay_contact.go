package booking

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// pingTimeout is how long Kafka may take to answer a ping. It is well below the time of a lease, so
// that leases are renewed in time meanwhile.
const pingTimeout = time.Second

func (r *Relay) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return r.publisher.Ping(ctx)
}

// giveBack leaves the shards to other relays, when Kafka has acknowledged nothing for long and
// answers no ping, and tells whether it did. A relay that has every shard is alone and keeps them.
// Should all relays leave at once, nothing is lost by it: none could send, and each looks for Kafka
// on its own.
func (r *Relay) giveBack(ctx context.Context) bool {
	if n := r.leases.count(time.Now()); n == 0 || n == dom.Shards || r.contact.lostFor() < r.cfg.GiveBackAfter {
		return false
	}
	err := r.ping(ctx)
	if err == nil {
		r.contact.heard()
		return false
	}
	if ctx.Err() != nil {
		return false
	}
	r.leases.set(nil, time.Time{})
	zerolog.Ctx(ctx).Warn().Err(err).Msg("Kafka does not answer this process: leaving its events to the other relays")
	call, cancel := context.WithTimeout(ctx, r.cfg.LeaseTTL)
	defer cancel()
	if err := r.events.ReleaseShards(call, r.owner); err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("Failed to give the shards of the outbox back: they lapse in seconds")
	}
	return true
}

// comeBack tells whether Kafka answers again.
func (r *Relay) comeBack(ctx context.Context) bool {
	if r.ping(ctx) != nil {
		return false
	}
	r.contact.heard()
	zerolog.Ctx(ctx).Info().Msg("Kafka answers this process again: taking part in relaying events")
	return true
}

// contact is what a relay knows of its way to Kafka.
type contact struct {
	mu sync.Mutex
	// last is when Kafka was last heard of.
	last time.Time
	// lost is since when all that was sent has failed, zero if something came through since.
	lost time.Time
}

// heard notes that Kafka answered.
func (c *contact) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.lost = time.Now(), time.Time{}
}

// unheard notes that nothing came through of what was sent since a moment.
func (c *contact) unheard(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost.IsZero() {
		c.lost = since
		if since.Before(c.last) {
			c.lost = c.last
		}
	}
}

// note notes what became of events that were sent since a moment. That Kafka refuses an event says
// nothing: the client may have refused it without asking.
func (c *contact) note(ctx context.Context, since time.Time, errs []error) {
	failed := false
	for _, err := range errs {
		if err == nil {
			c.heard()
			return
		}
		failed = failed || !errors.Is(err, dom.ErrRecordRejected)
	}
	if failed && ctx.Err() == nil {
		c.unheard(since)
	}
}

// lostFor answers for how long all that was sent has failed.
func (c *contact) lostFor() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost.IsZero() {
		return 0
	}
	return time.Since(c.lost)
}
