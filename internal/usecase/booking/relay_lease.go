package booking

import (
	"maps"
	"sync"
	"time"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

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
