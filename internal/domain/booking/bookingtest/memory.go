package bookingtest

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// MemoryRepository is the double of the domain's Repository: one mutex instead of transactions, and
// a clock that a test can move. It passes RepositorySuite.
type MemoryRepository struct {
	mu       sync.Mutex
	bookings map[string]*dom.Booking
	keys     map[[2]string]memoryKey
	events   []*dom.Event
	ahead    time.Duration
}

type memoryKey struct {
	bookingID string
	hash      []byte
	created   time.Time
}

var _ dom.Repository = (*MemoryRepository)(nil)

// NewMemoryRepository answers an empty repository whose clock is the real one.
func NewMemoryRepository() *MemoryRepository {
	return &MemoryRepository{bookings: make(map[string]*dom.Booking), keys: make(map[[2]string]memoryKey)}
}

// Advance moves the repository's clock.
func (r *MemoryRepository) Advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ahead += d
}

// Events answers all events of a booking in the order of their commits.
func (r *MemoryRepository) Events(bookingID string) []*dom.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*dom.Event
	for _, e := range r.events {
		if e.Booking.ID == bookingID {
			list = append(list, e)
		}
	}
	return list
}

func (r *MemoryRepository) now() time.Time {
	return time.Now().Add(r.ahead).Truncate(time.Microsecond)
}

func clone(b *dom.Booking) *dom.Booking {
	c := *b
	c.Joined = slices.Clone(b.Joined)
	return &c
}

// CreateBooking implements dom.Repository.
func (r *MemoryRepository) CreateBooking(_ context.Context, n dom.NewBooking) ([]*dom.Booking, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if stored, ok := r.bookings[n.Booking.ID]; ok {
		*n.Booking = *clone(stored)
		return nil, nil
	}
	now := r.now()
	var overdue []*dom.Booking
	for _, b := range r.bookings {
		if !b.Status.Occupies() || b.VenueID != n.Booking.VenueID || !b.Sitting.Overlaps(n.Booking.Sitting) ||
			!slices.ContainsFunc(b.Tables(), func(t string) bool { return slices.Contains(n.Booking.Tables(), t) }) {
			continue
		}
		if !b.Overdue(now) {
			return nil, dom.ErrSlotTaken
		}
		overdue = append(overdue, b)
	}
	key := [2]string{n.Booking.VenueID, n.IdempotencyKey}
	if _, used := r.keys[key]; used && n.IdempotencyKey != "" {
		return nil, dom.ErrKeyReused
	}
	var expired []*dom.Booking
	for _, b := range overdue {
		r.events = append(r.events, b.Expire(now, n.Origin))
		expired = append(expired, clone(b))
	}
	b := n.Booking
	b.CreatedAt, b.UpdatedAt, b.ExpiresAt = now, now, now.Add(n.HoldTTL)
	r.bookings[b.ID] = clone(b)
	r.events = append(r.events, b.Held(n.Origin))
	if n.IdempotencyKey != "" {
		r.keys[key] = memoryKey{bookingID: b.ID, hash: n.RequestHash, created: now}
	}
	return expired, nil
}

// GetBooking implements dom.Repository.
func (r *MemoryRepository) GetBooking(_ context.Context, id string) (*dom.Booking, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.bookings[id]
	if !ok {
		return nil, dom.ErrNotFound
	}
	return clone(b), nil
}

// FindByKey implements dom.Repository.
func (r *MemoryRepository) FindByKey(_ context.Context, venueID, key string) (*dom.Booking, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[[2]string{venueID, key}]
	if !ok {
		return nil, nil, dom.ErrNotFound
	}
	return clone(r.bookings[k.bookingID]), k.hash, nil
}

// ListBookings implements dom.Repository.
func (r *MemoryRepository) ListBookings(_ context.Context, f dom.BookingFilters) ([]*dom.Booking, int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []*dom.Booking{}
	for _, b := range r.bookings {
		if (f.VenueID == "" || b.VenueID == f.VenueID) && (f.Date.IsZero() || b.Slot.Date.Equal(f.Date)) &&
			(f.Status == "" || b.Status == f.Status) && (f.TableID == "" || slices.Contains(b.Tables(), f.TableID)) {
			list = append(list, clone(b))
		}
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if !a.Sitting.Start.Equal(b.Sitting.Start) {
			return a.Sitting.Start.Before(b.Sitting.Start)
		}
		return a.ID < b.ID
	})
	total := len(list)
	list = list[min(f.Offset, total):]
	return list[:min(f.Limit, len(list))], total, nil
}

// ChangeBooking implements dom.Repository.
func (r *MemoryRepository) ChangeBooking(_ context.Context, id string, c dom.Change) (*dom.Booking, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.bookings[id]
	if !ok {
		return nil, false, dom.ErrNotFound
	}
	event, err := b.Apply(c, r.now())
	if event != nil {
		r.events = append(r.events, event)
	} else if err != nil {
		return nil, false, err
	}
	return clone(b), event != nil && err == nil, err
}

// TakenTables implements dom.Repository.
func (r *MemoryRepository) TakenTables(_ context.Context, venueID string, tableIDs []string, during dom.Sitting) (map[string]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := make(map[string]bool)
	for _, b := range r.bookings {
		if b.VenueID != venueID || !b.Status.Occupies() || b.Overdue(r.now()) || !b.Sitting.Overlaps(during) {
			continue
		}
		for _, t := range b.Tables() {
			if slices.Contains(tableIDs, t) {
				taken[t] = true
			}
		}
	}
	return taken, nil
}

// ExpireHolds implements dom.Repository.
func (r *MemoryRepository) ExpireHolds(_ context.Context, limit int, origin dom.Origin) ([]*dom.Booking, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var expired []*dom.Booking
	for _, b := range r.bookings {
		if len(expired) == limit {
			break
		}
		if event := b.Expire(r.now(), origin); event != nil {
			r.events = append(r.events, event)
			expired = append(expired, clone(b))
		}
	}
	return expired, nil
}

// VenueZone implements dom.Repository.
func (r *MemoryRepository) VenueZone(_ context.Context, venueID string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var latest *dom.Booking
	for _, b := range r.bookings {
		if b.VenueID == venueID && (latest == nil || b.Slot.Date.Add(b.Slot.Start).After(latest.Slot.Date.Add(latest.Slot.Start))) {
			latest = b
		}
	}
	if latest == nil {
		return "", dom.ErrNotFound
	}
	return latest.TimeZone, nil
}

// LongestOverdue implements dom.Repository.
func (r *MemoryRepository) LongestOverdue(context.Context) (longest time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, b := range r.bookings {
		if b.Overdue(now) {
			longest = max(longest, now.Sub(b.ExpiresAt))
		}
	}
	return longest, nil
}

// DeleteOldKeys implements dom.Repository.
func (r *MemoryRepository) DeleteOldKeys(_ context.Context, age time.Duration, limit int) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	deleted := 0
	for k, v := range r.keys {
		if deleted < limit && v.created.Before(r.now().Add(-age)) {
			delete(r.keys, k)
			deleted++
		}
	}
	return deleted, nil
}
