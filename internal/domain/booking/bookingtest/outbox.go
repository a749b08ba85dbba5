package bookingtest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// MemoryOutbox is an outbox in memory. Make it with NewMemoryOutbox.
type MemoryOutbox struct {
	mu     sync.Mutex
	offset time.Duration
	rows   []*OutboxRow
	lastID int64
	leases [dom.Shards]memoryLease
	alive  map[string]time.Time
	err    error
}

// OutboxRow is an event in a MemoryOutbox.
type OutboxRow struct {
	dom.OutboxMessage
	// Status tells where the event is on its way.
	Status dom.OutboxStatus

	createdAt, sentAt time.Time
}

type memoryLease struct {
	owner string
	epoch int64
	until time.Time
}

var _ dom.EventRepository = (*MemoryOutbox)(nil)

// NewMemoryOutbox answers an empty outbox without a relay.
func NewMemoryOutbox() *MemoryOutbox {
	return &MemoryOutbox{alive: make(map[string]time.Time)}
}

// Add puts a pending event into the outbox and answers its id.
func (o *MemoryOutbox) Add(m dom.OutboxMessage) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lastID++
	m.ID = o.lastID
	o.rows = append(o.rows, &OutboxRow{OutboxMessage: m, Status: dom.OutboxPending, createdAt: o.now()})
	return m.ID
}

// Advance lets d pass.
func (o *MemoryOutbox) Advance(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offset += d
}

// Fail makes each method answer err from now on; nil ends it.
func (o *MemoryOutbox) Fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// Rows answers a copy of all events, by rising id.
func (o *MemoryOutbox) Rows() []OutboxRow {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows := make([]OutboxRow, len(o.rows))
	for i, r := range o.rows {
		rows[i] = *r
	}
	return rows
}

// Owners answers how many shards each relay has a living lease of.
func (o *MemoryOutbox) Owners() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	owners := make(map[string]int)
	for _, l := range o.leases {
		if l.owner != "" && l.until.After(o.now()) {
			owners[l.owner]++
		}
	}
	return owners
}

// Steal gives every shard to another owner, as happens to a relay that was paused for too long.
func (o *MemoryOutbox) Steal(owner string, ttl time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.leases {
		o.leases[i] = memoryLease{owner: owner, epoch: o.leases[i].epoch + 1, until: o.now().Add(ttl)}
	}
}

func (o *MemoryOutbox) now() time.Time { return time.Now().Add(o.offset) }

// LeaseShards does what the port says.
func (o *MemoryOutbox) LeaseShards(_ context.Context, owner string, ttl time.Duration) ([]dom.Lease, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil, o.err
	}
	now := o.now()
	o.alive[owner] = now.Add(ttl)
	living := 0
	for _, until := range o.alive {
		if until.After(now) {
			living++
		}
	}
	fair := (dom.Shards + living - 1) / living
	var leases []dom.Lease
	take := func(wanted func(l *memoryLease) bool) {
		for i := range o.leases {
			l := &o.leases[i]
			if !wanted(l) {
				continue
			}
			if len(leases) == fair {
				if l.owner == owner {
					l.owner, l.until = "", time.Time{}
				}
				continue
			}
			if l.owner != owner || !l.until.After(now) {
				l.epoch++
			}
			l.owner, l.until = owner, now.Add(ttl)
			leases = append(leases, dom.Lease{Shard: int16(i), Epoch: l.epoch})
		}
	}
	take(func(l *memoryLease) bool { return l.owner == owner })
	take(func(l *memoryLease) bool { return l.owner != owner && !l.until.After(now) })
	return leases, nil
}

// ReleaseShards does what the port says.
func (o *MemoryOutbox) ReleaseShards(_ context.Context, owner string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	delete(o.alive, owner)
	for i := range o.leases {
		if l := &o.leases[i]; l.owner == owner {
			l.owner, l.until = "", time.Time{}
		}
	}
	return nil
}

// GetPendingOutbox does what the port says.
func (o *MemoryOutbox) GetPendingOutbox(
	_ context.Context, shards []int16, perShard int, except []string,
) ([]dom.OutboxMessage, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil, o.err
	}
	var messages []dom.OutboxMessage
	counts := make(map[int16]int)
	for _, r := range o.rows {
		if r.Status == dom.OutboxPending && slices.Contains(shards, r.Shard) && counts[r.Shard] < perShard &&
			!slices.Contains(except, r.Key) {
			counts[r.Shard]++
			messages = append(messages, r.OutboxMessage)
		}
	}
	return messages, nil
}

// MarkSent does what the port says.
func (o *MemoryOutbox) MarkSent(_ context.Context, owner string, leases []dom.Lease, ids []int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n := 0
	for _, id := range ids {
		r := o.row(id)
		if r == nil || r.Status == dom.OutboxSent {
			continue
		}
		for _, l := range leases {
			if l.Shard == r.Shard && o.holds(owner, l) {
				r.Status, r.sentAt = dom.OutboxSent, o.now()
				n++
			}
		}
	}
	return n, nil
}

// MarkFailed does what the port says.
func (o *MemoryOutbox) MarkFailed(
	_ context.Context, owner string, lease dom.Lease, id int64, retryCount int, status dom.OutboxStatus, _ string,
) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	r := o.row(id)
	if r != nil && r.Status == dom.OutboxPending && r.Shard == lease.Shard && o.holds(owner, lease) {
		r.Status, r.RetryCount = status, retryCount
	}
	return nil
}

// OutboxStats does what the port says.
func (o *MemoryOutbox) OutboxStats(context.Context) (dom.OutboxStats, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return dom.OutboxStats{}, o.err
	}
	var s dom.OutboxStats
	for _, r := range o.rows {
		switch r.Status {
		case dom.OutboxPending:
			s.Pending++
			s.OldestPending = max(s.OldestPending, o.now().Sub(r.createdAt))
		case dom.OutboxDLQ:
			s.DLQ++
		}
	}
	return s, nil
}

// DeleteSent does what the port says.
func (o *MemoryOutbox) DeleteSent(_ context.Context, age time.Duration, after int64, limit int) (int, int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, 0, o.err
	}
	at, _ := slices.BinarySearchFunc(o.rows, after+1, func(r *OutboxRow, id int64) int { return cmp.Compare(r.ID, id) })
	page := o.rows[at:min(at+limit, len(o.rows))]
	next := int64(0)
	if len(page) == limit {
		next = page[limit-1].ID
	}
	old := func(r *OutboxRow) bool { return r.Status == dom.OutboxSent && o.now().Sub(r.sentAt) > age }
	deleted := 0
	for _, r := range page {
		if old(r) {
			deleted++
		}
	}
	last := at + len(page)
	kept := slices.DeleteFunc(slices.Clone(page), old)
	o.rows = slices.Concat(o.rows[:at], kept, o.rows[last:])
	return deleted, next, nil
}

func (o *MemoryOutbox) holds(owner string, l dom.Lease) bool {
	have := o.leases[l.Shard]
	return have.owner == owner && have.epoch == l.Epoch
}

func (o *MemoryOutbox) row(id int64) *OutboxRow {
	for _, r := range o.rows {
		if r.ID == id {
			return r
		}
	}
	return nil
}
