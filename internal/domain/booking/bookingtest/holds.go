// Package bookingtest holds, for each port of the booking domain, a contract suite that every
// implementation must pass, and a double that passes it.
package bookingtest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// Holds is a dom.HoldRepository in memory. Make it with NewHolds.
type Holds struct {
	mu    sync.Mutex
	holds map[string]hold
}

type hold struct {
	bookingID string
	until     time.Time
}

// NewHolds makes an empty repository of holds.
func NewHolds() *Holds {
	return &Holds{holds: make(map[string]hold)}
}

var _ dom.HoldRepository = (*Holds)(nil)

// SetHold takes the key if it is free.
func (h *Holds) SetHold(ctx context.Context, key, bookingID string, ttl time.Duration) (bool, error) {
	return h.ReplaceHold(ctx, key, "", bookingID, ttl)
}

// GetHold answers the owner's booking id, "" when the key is free.
func (h *Holds) GetHold(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.owner(key), nil
}

// ReplaceHold takes the key if it is free or owned by oldID.
func (h *Holds) ReplaceHold(ctx context.Context, key, oldID, newID string, ttl time.Duration) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if owner := h.owner(key); owner != "" && owner != oldID {
		return false, nil
	}
	h.holds[key] = hold{bookingID: newID, until: time.Now().Add(max(ttl, time.Millisecond))}
	return true, nil
}

// DeleteHold releases the key if bookingID owns it.
func (h *Holds) DeleteHold(ctx context.Context, key, bookingID string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if owner := h.owner(key); owner == "" || owner != bookingID {
		return false, nil
	}
	delete(h.holds, key)
	return true, nil
}

// DeleteHolds releases those of the keys that their bookings own.
func (h *Holds) DeleteHolds(ctx context.Context, holds []dom.Hold) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, hold := range holds {
		if _, err := h.DeleteHold(ctx, hold.Key, hold.BookingID); err != nil {
			return err
		}
	}
	return nil
}

// owner answers who has the key, "" for nobody. The lock is held.
func (h *Holds) owner(key string) string {
	held, ok := h.holds[key]
	if ok && !time.Now().Before(held.until) {
		delete(h.holds, key)
		return ""
	}
	return held.bookingID
}

// TestHoldRepository is the contract of dom.HoldRepository. Each part calls newRepo for a repository
// of its own; repositories may share a store, as the parts use keys of their own. Time must pass by
// itself in the store.
func TestHoldRepository(t *testing.T, newRepo func(t *testing.T) dom.HoldRepository) {
	const long = time.Minute
	slot := dom.Slot{Date: time.Date(2027, 3, 14, 0, 0, 0, 0, time.UTC), Start: 19 * time.Hour, Duration: 2 * time.Hour}
	freshKey := func() string { return dom.HoldKey(dom.NewID(), "table-1", slot) }
	requireOwner := func(t *testing.T, repo dom.HoldRepository, key, want string) {
		t.Helper()
		owner, err := repo.GetHold(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, want, owner)
	}
	set := func(t *testing.T, repo dom.HoldRepository, key, id string, ttl time.Duration, want bool) {
		t.Helper()
		acquired, err := repo.SetHold(t.Context(), key, id, ttl)
		require.NoError(t, err)
		require.Equal(t, want, acquired)
	}
	replace := func(t *testing.T, repo dom.HoldRepository, key, oldID, newID string, ttl time.Duration, want bool) {
		t.Helper()
		replaced, err := repo.ReplaceHold(t.Context(), key, oldID, newID, ttl)
		require.NoError(t, err)
		require.Equal(t, want, replaced)
	}
	del := func(t *testing.T, repo dom.HoldRepository, key, id string, want bool) {
		t.Helper()
		deleted, err := repo.DeleteHold(t.Context(), key, id)
		require.NoError(t, err)
		require.Equal(t, want, deleted)
	}
	requireFreed := func(t *testing.T, repo dom.HoldRepository, key string) {
		t.Helper()
		require.Eventually(t, func() bool {
			owner, err := repo.GetHold(context.Background(), key)
			return err == nil && owner == ""
		}, 5*time.Second, 10*time.Millisecond, "the hold outlived its time")
	}

	parts := map[string]func(t *testing.T, repo dom.HoldRepository){
		"a free key has no owner": func(t *testing.T, repo dom.HoldRepository) {
			requireOwner(t, repo, freshKey(), "")
		},
		"a key is taken once": func(t *testing.T, repo dom.HoldRepository) {
			key, a, b := freshKey(), dom.NewID(), dom.NewID()
			set(t, repo, key, a, long, true)
			set(t, repo, key, b, long, false)
			set(t, repo, key, a, long, false)
			requireOwner(t, repo, key, a)
		},
		"keys do not touch each other": func(t *testing.T, repo dom.HoldRepository) {
			k1, k2, a, b := freshKey(), freshKey(), dom.NewID(), dom.NewID()
			set(t, repo, k1, a, long, true)
			set(t, repo, k2, b, long, true)
			del(t, repo, k1, a, true)
			requireOwner(t, repo, k1, "")
			requireOwner(t, repo, k2, b)
		},
		"a hold ends with its time": func(t *testing.T, repo dom.HoldRepository) {
			key, a, b := freshKey(), dom.NewID(), dom.NewID()
			set(t, repo, key, a, 150*time.Millisecond, true)
			requireFreed(t, repo, key)
			del(t, repo, key, a, false)
			set(t, repo, key, b, long, true)
			requireOwner(t, repo, key, b)
		},
		"a lost attempt does not prolong the hold": func(t *testing.T, repo dom.HoldRepository) {
			key, a := freshKey(), dom.NewID()
			set(t, repo, key, a, 300*time.Millisecond, true)
			set(t, repo, key, dom.NewID(), long, false)
			set(t, repo, key, a, long, false)
			replace(t, repo, key, dom.NewID(), dom.NewID(), long, false)
			requireFreed(t, repo, key)
		},
		"no time at all still ends": func(t *testing.T, repo dom.HoldRepository) {
			for _, ttl := range []time.Duration{0, -time.Second, time.Microsecond} {
				key := freshKey()
				set(t, repo, key, dom.NewID(), ttl, true)
				requireFreed(t, repo, key)
				replace(t, repo, key, "", dom.NewID(), ttl, true)
				requireFreed(t, repo, key)
			}
		},
		"only the owner releases": func(t *testing.T, repo dom.HoldRepository) {
			key, a, b := freshKey(), dom.NewID(), dom.NewID()
			del(t, repo, key, a, false)
			set(t, repo, key, a, long, true)
			del(t, repo, key, b, false)
			del(t, repo, key, "", false)
			requireOwner(t, repo, key, a)
			del(t, repo, key, a, true)
			del(t, repo, key, a, false)
			requireOwner(t, repo, key, "")
		},
		"of many keys the owned ones are released": func(t *testing.T, repo dom.HoldRepository) {
			require.NoError(t, repo.DeleteHolds(t.Context(), nil))
			var holds []dom.Hold
			for range 100 {
				hold := dom.Hold{Key: freshKey(), BookingID: dom.NewID()}
				set(t, repo, hold.Key, hold.BookingID, long, true)
				holds = append(holds, hold)
			}
			another, gone := dom.NewID(), freshKey()
			mixed := append([]dom.Hold{{Key: gone, BookingID: another}, {Key: holds[0].Key, BookingID: another}}, holds[1:]...)
			require.NoError(t, repo.DeleteHolds(t.Context(), mixed))
			requireOwner(t, repo, holds[0].Key, holds[0].BookingID)
			for _, hold := range holds[1:] {
				requireOwner(t, repo, hold.Key, "")
			}
		},
		"a released key can be taken": func(t *testing.T, repo dom.HoldRepository) {
			key, a, b := freshKey(), dom.NewID(), dom.NewID()
			set(t, repo, key, a, long, true)
			del(t, repo, key, a, true)
			set(t, repo, key, b, long, true)
			del(t, repo, key, a, false)
			requireOwner(t, repo, key, b)
		},
		"replace takes a free key": func(t *testing.T, repo dom.HoldRepository) {
			key, a := freshKey(), dom.NewID()
			replace(t, repo, key, dom.NewID(), a, long, true)
			requireOwner(t, repo, key, a)
		},
		"replace takes over from the owner named only": func(t *testing.T, repo dom.HoldRepository) {
			key, a, b, c := freshKey(), dom.NewID(), dom.NewID(), dom.NewID()
			set(t, repo, key, a, long, true)
			replace(t, repo, key, b, c, long, false)
			replace(t, repo, key, "", c, long, false)
			requireOwner(t, repo, key, a)
			replace(t, repo, key, a, b, long, true)
			requireOwner(t, repo, key, b)
			replace(t, repo, key, a, c, long, false)
			requireOwner(t, repo, key, b)
		},
		"replace sets the time anew": func(t *testing.T, repo dom.HoldRepository) {
			key, a, b := freshKey(), dom.NewID(), dom.NewID()
			set(t, repo, key, a, long, true)
			replace(t, repo, key, a, b, 150*time.Millisecond, true)
			requireFreed(t, repo, key)
		},
		"of 64 that take a key one has it": func(t *testing.T, repo dom.HoldRepository) {
			key := freshKey()
			winner := race(t, 64, func(id string) (bool, error) {
				return repo.SetHold(t.Context(), key, id, long)
			})
			requireOwner(t, repo, key, winner)
		},
		"of 64 that take over a key one has it": func(t *testing.T, repo dom.HoldRepository) {
			key, stale := freshKey(), dom.NewID()
			set(t, repo, key, stale, long, true)
			winner := race(t, 64, func(id string) (bool, error) {
				return repo.ReplaceHold(t.Context(), key, stale, id, long)
			})
			requireOwner(t, repo, key, winner)
		},
		"of 64 releases one counts": func(t *testing.T, repo dom.HoldRepository) {
			key, a := freshKey(), dom.NewID()
			set(t, repo, key, a, long, true)
			race(t, 64, func(string) (bool, error) { return repo.DeleteHold(t.Context(), key, a) })
			requireOwner(t, repo, key, "")
		},
		"a call that was called off is no outage": func(t *testing.T, repo dom.HoldRepository) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			key, a := freshKey(), dom.NewID()
			_, err := repo.SetHold(ctx, key, a, long)
			require.ErrorIs(t, err, context.Canceled)
			_, err = repo.GetHold(ctx, key)
			require.ErrorIs(t, err, context.Canceled)
			_, err = repo.ReplaceHold(ctx, key, "", a, long)
			require.ErrorIs(t, err, context.Canceled)
			_, err = repo.DeleteHold(ctx, key, a)
			require.ErrorIs(t, err, context.Canceled)
			err = repo.DeleteHolds(ctx, []dom.Hold{{Key: key, BookingID: a}})
			require.ErrorIs(t, err, context.Canceled)
			var away *dom.UnavailableError
			require.NotErrorAs(t, err, &away)
			set(t, repo, key, a, long, true)
		},
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(t, newRepo(t))
		})
	}
}

// race calls try at the same time from n goroutines, each with an id of its own, and answers the id
// of the one that was told true. It fails unless that is exactly one.
func race(t *testing.T, n int, try func(id string) (bool, error)) string {
	t.Helper()
	var winner atomic.Value
	var wins, failures atomic.Int32
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range n {
		wg.Go(func() {
			id := dom.NewID()
			<-start
			won, err := try(id)
			switch {
			case err != nil:
				failures.Add(1)
			case won:
				wins.Add(1)
				winner.Store(id)
			}
		})
	}
	close(start)
	wg.Wait()
	require.Zero(t, failures.Load(), "calls failed")
	require.EqualValues(t, 1, wins.Load(), "winners")
	return winner.Load().(string)
}
