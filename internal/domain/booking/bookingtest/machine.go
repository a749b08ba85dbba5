package bookingtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// RepositoryMachine drives a repository with random commands, one after the other, and compares each
// answer with that of a model. open answers an empty repository; it is called for each run. check
// looks at what the port does not show; it is called every few commands, and at the end of a run.
//
// RAPID_CHECKS is how many runs there are (100), RAPID_STEPS how long one is (30).
func RepositoryMachine(t *testing.T, open func() Repository, check func(t require.TestingT)) {
	seen := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{repo: open(), model: &model{keys: make(map[modelKey]*modelUse)}, seen: seen}
		step := 0
		t.Repeat(map[string]func(*rapid.T){
			"create":           func(t *rapid.T) { m.create(t, "", 1) },
			"create on joined": func(t *rapid.T) { m.create(t, "", rapid.IntRange(2, 3).Draw(t, "tables")) },
			"create with key": func(t *rapid.T) {
				m.create(t, rapid.SampledFrom(machineKeys).Draw(t, "key"), rapid.IntRange(1, 2).Draw(t, "tables"))
			},
			"create again": m.createAgain,
			"change":       m.change,
			"move on":      m.moveOn,
			"move on more": m.moveOn,
			"time passes":  m.timePasses,
			"sweep":        m.sweep,
			"remove keys":  m.removeKeys,
			"list":         m.list,
			"look":         m.look,
			"": func(t *rapid.T) {
				if step++; step%8 == 0 {
					m.checkAll(t)
					check(t)
				}
			},
		})
		// In the end no hold is left, and nothing has come to pass that was not asked for.
		m.repo.Advance(machineTTL * time.Hour)
		m.model.hour += machineTTL
		for len(m.model.allOverdue()) > 0 {
			m.expire(t, 100)
		}
		m.checkAll(t)
		check(t)
	})
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%6d %s", seen[what], what)
	}
}

// What the commands draw from: little, so that they collide.
var (
	machineVenues = []string{"v", "v", "v", "w"}
	machineTables = []string{"t1", "t2", "t3"}
	machineKeys   = []string{"k1", "k2", "k3"}
	machineZones  = []string{"UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"}
)

// machineTTL is the longest hold, in hours.
const machineTTL = 3

// machine is a repository and the model of it.
type machine struct {
	repo  Repository
	model *model
	// seen counts what came to pass, over all runs.
	seen map[string]int
}

func (m *machine) saw(format string, args ...any) { m.seen[fmt.Sprintf(format, args...)]++ }

func event(status dom.Status, version int) string {
	return fmt.Sprintf("booking.%s/%d", status, version)
}

func (m *machine) create(t *rapid.T, key string, tables int) {
	ctx := context.Background()
	b := &modelBooking{
		venue:  rapid.SampledFrom(machineVenues).Draw(t, "venue"),
		tables: rapid.Permutation(machineTables).Draw(t, "tables")[:tables],
		// Six hours, across midnight, in quarters.
		from:   15 * rapid.IntRange(0, 24+8).Draw(t, "from"),
		status: "held", version: 1, events: []string{event("held", 1)},
	}
	b.to = b.from + 15*rapid.IntRange(1, 12).Draw(t, "length")
	ttl := rapid.IntRange(1, machineTTL).Draw(t, "ttl")
	b.expires = m.model.hour + ttl

	n := New(b.venue, b.tables[0], float64(b.from)/60, b.tables[1:]...)
	n.Booking.Slot.Duration = time.Duration(b.to-b.from) * time.Minute
	n.Booking.Sitting.End = n.Booking.Sitting.Start.Add(n.Booking.Slot.Duration)
	for i, id := range b.tables[1:] {
		n.Booking.Joined[i].RoomID = "room of " + id
	}
	n.Booking.TimeZone = rapid.SampledFrom(machineZones).Draw(t, "zone")
	n.HoldTTL = time.Duration(ttl) * time.Hour
	n.IdempotencyKey, n.RequestHash = key, []byte(rapid.SampledFrom([]string{"h1", "h2"}).Draw(t, "hash"))

	var taken bool
	var overdue []*modelBooking
	for _, other := range m.model.inTheWay(b.venue, b.tables, b.from, b.to) {
		if m.model.overdue(other) {
			overdue = append(overdue, other)
		} else {
			taken = true
		}
	}
	use := m.model.keys[modelKey{b.venue, key}]

	expired, err := m.repo.CreateBooking(ctx, n)
	switch {
	case taken && use != nil:
		require.Error(t, err)
		if err != dom.ErrSlotTaken {
			require.ErrorIs(t, err, dom.ErrKeyReused)
		}
	case taken:
		require.ErrorIs(t, err, dom.ErrSlotTaken)
	case use != nil:
		require.ErrorIs(t, err, dom.ErrKeyReused)
	default:
		require.NoError(t, err)
	}
	if err != nil {
		m.saw("create: %v", err)
		_, getErr := m.repo.GetBooking(ctx, n.Booking.ID)
		require.ErrorIs(t, getErr, dom.ErrNotFound)
		require.Empty(t, m.repo.Events(n.Booking.ID))
		return
	}
	m.saw("create: on %d tables, in place of %d overdue holds", tables, len(overdue))
	require.Equal(t, n.HoldTTL, n.Booking.ExpiresAt.Sub(n.Booking.CreatedAt))
	require.Equal(t, n.Booking.CreatedAt, n.Booking.UpdatedAt)
	b.stored = *n.Booking
	m.requireExpired(t, overdue, expired)
	m.model.bookings = append(m.model.bookings, b)
	if key != "" {
		m.model.keys[modelKey{b.venue, key}] = &modelUse{booking: b, hash: string(n.RequestHash), hour: m.model.hour}
	}
	m.checkBooking(t, b)
}

// createAgain repeats a create whose answer may not have come, perhaps long after.
func (m *machine) createAgain(t *rapid.T) {
	b := m.known(t)
	again := b.stored
	again.Status, again.Version, again.CreatedAt, again.UpdatedAt, again.ExpiresAt = "held", 1, time.Time{}, time.Time{}, time.Time{}
	n := dom.NewBooking{Booking: &again, HoldTTL: time.Hour, Origin: origin()}
	for k, use := range m.model.keys {
		if use.booking == b {
			n.IdempotencyKey, n.RequestHash = k.key, []byte(use.hash)
		}
	}
	expired, err := m.repo.CreateBooking(context.Background(), n)
	require.Empty(t, expired)
	if err != nil {
		// A used key may be seen first; the key then leads to the booking.
		require.NotEmpty(t, n.IdempotencyKey)
		require.ErrorIs(t, err, dom.ErrKeyReused)
		return
	}
	m.saw("create again: %s", b.status)
	m.requireStored(t, b, n.Booking)
	m.checkBooking(t, b)
}

// change asks for any state, of any booking or of none.
func (m *machine) change(t *rapid.T) {
	to := rapid.SampledFrom([]dom.Status{
		"confirmed", "cancelled", "seated", "finished", "no_show", "held", "expired",
	}).Draw(t, "to")
	if len(m.model.bookings) == 0 {
		_, _, err := m.repo.ChangeBooking(context.Background(), dom.NewID(), change(to))
		require.ErrorIs(t, err, dom.ErrNotFound)
		return
	}
	m.changeTo(t, m.known(t), to)
}

// moveOn asks for a state that the booking may go to.
func (m *machine) moveOn(t *rapid.T) {
	b := m.known(t)
	var next []dom.Status
	for _, move := range modelMoves {
		if move[0] == b.status {
			next = append(next, move[1])
		}
	}
	if len(next) == 0 {
		t.Skip("it has ended")
	}
	m.changeTo(t, b, rapid.SampledFrom(next).Draw(t, "to"))
}

func (m *machine) changeTo(t *rapid.T, b *modelBooking, to dom.Status) {
	from := b.status
	changed, refused, holdExpired, expires := m.model.change(b, to)
	switch {
	case changed:
		b.become(to)
	case expires:
		b.become("expired")
	}
	got, gotChanged, err := m.repo.ChangeBooking(context.Background(), b.stored.ID, change(to))
	require.Equal(t, changed, gotChanged)
	if refused {
		require.Equal(t, &dom.TransitionError{BookingID: b.stored.ID, From: from, To: to, HoldExpired: holdExpired}, err)
	} else {
		require.NoError(t, err)
	}
	m.saw("change: %s to %s, changed %v, hold expired %v", from, to, changed, holdExpired)
	if changed || expires {
		m.follow(t, b, got)
	} else if refused {
		require.Nil(t, got)
	} else {
		m.requireStored(t, b, got)
	}
	m.checkBooking(t, b)
}

func (m *machine) timePasses(t *rapid.T) {
	hours := rapid.IntRange(1, 2).Draw(t, "hours")
	m.repo.Advance(time.Duration(hours) * time.Hour)
	m.model.hour += hours
}

func (m *machine) sweep(t *rapid.T) { m.expire(t, rapid.IntRange(1, 3).Draw(t, "limit")) }

// expire sweeps: any of the overdue holds, as many as the limit allows.
func (m *machine) expire(t *rapid.T, limit int) {
	overdue := m.model.allOverdue()
	expired, err := m.repo.ExpireHolds(context.Background(), limit, origin())
	require.NoError(t, err)
	require.Len(t, expired, min(limit, len(overdue)))
	ids := make(map[string]bool)
	for _, b := range expired {
		ids[b.ID] = true
	}
	swept := slices.DeleteFunc(overdue, func(b *modelBooking) bool { return !ids[b.stored.ID] })
	m.saw("sweep: %d", len(swept))
	m.requireExpired(t, swept, expired)
}

func (m *machine) removeKeys(t *rapid.T) {
	ctx := context.Background()
	// Halves, so that no age is met exactly.
	age, limit := rapid.IntRange(0, 2).Draw(t, "hours"), rapid.IntRange(1, 2).Draw(t, "limit")
	deleted, err := m.repo.DeleteOldKeys(ctx, time.Duration(age)*time.Hour+30*time.Minute, limit)
	require.NoError(t, err)
	old, gone := 0, 0
	for k, use := range m.model.keys {
		isOld := m.model.hour-use.hour > age
		if isOld {
			old++
		}
		if _, _, err := m.repo.FindByKey(ctx, k.venue, k.key); err != nil {
			require.ErrorIs(t, err, dom.ErrNotFound)
			require.True(t, isOld, "a key of %d hours is gone", m.model.hour-use.hour)
			delete(m.model.keys, k)
			gone++
		}
	}
	require.Equal(t, min(old, limit), deleted)
	require.Equal(t, gone, deleted)
	m.saw("keys removed: %d", deleted)
}

func (m *machine) list(t *rapid.T) {
	f := dom.BookingFilters{
		VenueID: rapid.SampledFrom([]string{"", "v", "w", "nowhere"}).Draw(t, "venue"),
		Limit:   rapid.IntRange(1, 6).Draw(t, "limit"),
		Offset:  rapid.IntRange(0, 2).Draw(t, "offset"),
	}
	// Few filters at once: else nothing is found.
	if rapid.Bool().Draw(t, "by table") {
		f.TableID = rapid.SampledFrom([]string{"t1", "t2", "t3", "none"}).Draw(t, "table")
	}
	if rapid.Bool().Draw(t, "by status") {
		f.Status = rapid.SampledFrom([]dom.Status{
			"held", "confirmed", "seated", "finished", "cancelled", "expired", "no_show", "requested",
		}).Draw(t, "status")
	}
	if rapid.Bool().Draw(t, "by date") {
		day := rapid.IntRange(0, 2).Draw(t, "day")
		f.Date = time.Date(start.Year(), start.Month(), start.Day()+day, 0, 0, 0, 0, time.UTC)
	}
	page, total, err := m.repo.ListBookings(context.Background(), f)
	require.NoError(t, err)
	want := m.model.list(f)
	require.Equal(t, len(want), total)
	want = want[min(f.Offset, len(want)):]
	want = want[:min(f.Limit, len(want))]
	require.Len(t, page, len(want))
	for i, b := range want {
		m.requireStored(t, b, page[i])
	}
	m.saw("list: %d found", len(page))
}

// look asks what is read and never changed.
func (m *machine) look(t *rapid.T) {
	ctx := context.Background()
	venue := rapid.SampledFrom([]string{"v", "w", "nowhere"}).Draw(t, "venue")
	from := 15 * rapid.IntRange(0, 24+16).Draw(t, "from")
	to := from + 15*rapid.IntRange(1, 12).Draw(t, "length")
	tables := rapid.SliceOfN(rapid.SampledFrom(append(machineTables, "none")), 0, 5).Draw(t, "tables")
	want := make(map[string]bool)
	for _, b := range m.model.inTheWay(venue, tables, from, to) {
		for _, id := range b.tables {
			if !m.model.overdue(b) && slices.Contains(tables, id) {
				want[id] = true
			}
		}
	}
	taken, err := m.repo.TakenTables(ctx, venue, tables, dom.Sitting{
		Start: start.Add(time.Duration(from) * time.Minute), End: start.Add(time.Duration(to) * time.Minute),
	})
	require.NoError(t, err)
	require.Equal(t, want, taken)
	m.saw("taken tables: %d", len(taken))

	zone, err := m.repo.VenueZone(ctx, venue)
	if zones := m.model.zones(venue); len(zones) > 0 {
		require.NoError(t, err)
		require.Contains(t, zones, zone)
	} else {
		require.ErrorIs(t, err, dom.ErrNotFound)
	}

	_, err = m.repo.GetBooking(ctx, dom.NewID())
	require.ErrorIs(t, err, dom.ErrNotFound)
	for _, key := range machineKeys {
		b, hash, err := m.repo.FindByKey(ctx, venue, key)
		use := m.model.keys[modelKey{venue, key}]
		if use == nil {
			require.ErrorIs(t, err, dom.ErrNotFound)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, use.hash, string(hash))
		m.requireStored(t, use.booking, b)
	}
}

// known picks a booking; without one the command is not tried.
func (m *machine) known(t *rapid.T) *modelBooking {
	if len(m.model.bookings) == 0 {
		t.Skip("there is no booking")
	}
	return rapid.SampledFrom(m.model.bookings).Draw(t, "booking")
}
