package booking

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/rs/zerolog"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// keepLeases renews the leases until ctx is done. A relay that Kafka does not answer leaves its
// shards to those that it does answer, and comes back when it hears from Kafka. Once stopping is closed
// it asks at once, and closes last: relays that have stopped a moment ago have given their shards back,
// and what this process has committed since may be in them.
func (r *Relay) keepLeases(ctx context.Context, stopping <-chan struct{}, last chan<- struct{}) {
	ticker := time.NewTicker(r.cfg.LeaseTTL / 3)
	defer ticker.Stop()
	for out, first, final := false, true, false; ; first = false {
		if out {
			out = !r.comeBack(ctx)
		}
		if !out {
			r.renewLeases(ctx)
			out = r.giveBack(ctx)
		}
		if first {
			close(r.asked)
		}
		if final {
			close(last)
			final = false
		}
		select {
		case <-ticker.C:
		case <-stopping:
			stopping, final = nil, true
		case <-ctx.Done():
			return
		}
	}
}

func (r *Relay) renewLeases(ctx context.Context) {
	// The store counts from a later moment than this, so a lease ends here before it ends there,
	// by the margin even if the clocks run differently fast.
	asked := time.Now()
	call, cancel := context.WithTimeout(ctx, r.cfg.LeaseTTL)
	defer cancel()
	leases, err := r.events.LeaseShards(call, r.owner, r.cfg.LeaseTTL)
	if err != nil {
		if ctx.Err() == nil && r.quiet.admit("lease") {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Failed to renew the leases of the outbox")
		}
		return
	}
	margin := r.cfg.LeaseTTL / 6
	if r.leases.set(leases, asked.Add(r.cfg.LeaseTTL-margin)) {
		zerolog.Ctx(ctx).Info().Str("relay", r.owner).Int("shards", len(leases)).Msg("Relaying events")
		r.wakeAll()
	}
}

// leaseTable is what a relay knows of its leases. They end all at once, by the monotonic clock,
// unless they are renewed.
type leaseTable struct {
	mu     sync.Mutex
	until  time.Time
	epochs map[int16]int64
}

// set replaces the leases and tells whether they differ from those before.
func (t *leaseTable) set(leases []dom.Lease, until time.Time) (changed bool) {
	epochs := make(map[int16]int64, len(leases))
	for _, l := range leases {
		epochs[l.Shard] = l.Epoch
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	changed = !maps.Equal(t.epochs, epochs)
	t.epochs, t.until = epochs, until
	return changed
}

// of answers the leases of one of several workers at the moment now. A shard always has the same
// worker.
func (t *leaseTable) of(worker, workers int, now time.Time) []dom.Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Before(t.until) {
		return nil
	}
	var leases []dom.Lease
	for shard, epoch := range t.epochs {
		if int(shard)%workers == worker {
			leases = append(leases, dom.Lease{Shard: shard, Epoch: epoch})
		}
	}
	return leases
}

// holds tells whether a lease is still good at the moment now.
func (t *leaseTable) holds(l dom.Lease, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	epoch, ok := t.epochs[l.Shard]
	return ok && epoch == l.Epoch && now.Before(t.until)
}

// count answers how many shards the relay has at the moment now.
func (t *leaseTable) count(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Before(t.until) {
		return 0
	}
	return len(t.epochs)
}

// hasShard tells whether the relay has a shard at the moment now.
func (t *leaseTable) hasShard(shard int16, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.epochs[shard]
	return ok && now.Before(t.until)
}

// throttle lets a message through once in a while, so that an outage does not fill the log.
type throttle struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// throttleFor is how long a message that was let through is held back.
const throttleFor = 30 * time.Second

func (t *throttle) admit(message string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.last[message]; ok && time.Since(last) < throttleFor {
		return false
	}
	if t.last == nil {
		t.last = make(map[string]time.Time)
	}
	t.last[message] = time.Now()
	return true
}
