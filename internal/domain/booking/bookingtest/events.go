package bookingtest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// EventRepository is an outbox under test.
type EventRepository struct {
	dom.EventRepository
	// Add puts a pending event into the outbox and answers its id.
	Add func(m dom.OutboxMessage) int64
	// Advance lets d pass for every event, lease and relay.
	Advance func(d time.Duration)
}

// EventRepositorySuite tests what the port promises. open answers an empty outbox without a relay.
func EventRepositorySuite(t *testing.T, open func(t *testing.T) EventRepository) {
	tests := map[string]func(*testing.T, EventRepository){
		"a lonely relay has all shards and keeps them":        leaseAlone,
		"relays share the shards evenly":                      leaseShared,
		"a dead relay's shards go to the living":              leaseTakenOver,
		"a lease that lapsed comes back with a new epoch":     leaseLapsed,
		"released shards are free at once":                    leaseReleased,
		"leasing at the same time never gives a lease twice":  raceLeases,
		"pending events are read by shard, in order":          pendingInOrder,
		"bookings that wait are read past":                    pendingExcept,
		"marking sent requires the lease":                     markSent,
		"a failed event keeps its count until it is given up": markFailed,
		"a failure is not counted without the lease":          markFailedLeaseLost,
		"stats count what waits and what was given up":        outboxStats,
		"old sent events are removed page by page":            deleteSent,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// leaseTTL is long, so that the time that a busy machine takes is nothing beside it.
const leaseTTL = 10 * time.Minute

func mustLease(t *testing.T, r EventRepository, owner string) map[int16]int64 {
	t.Helper()
	leases, err := r.LeaseShards(context.Background(), owner, leaseTTL)
	require.NoError(t, err)
	epochs := make(map[int16]int64, len(leases))
	for _, l := range leases {
		epochs[l.Shard] = l.Epoch
	}
	require.Len(t, epochs, len(leases), "a shard is answered once")
	return epochs
}

func leaseList(epochs map[int16]int64) []dom.Lease {
	var leases []dom.Lease
	for shard, epoch := range epochs {
		leases = append(leases, dom.Lease{Shard: shard, Epoch: epoch})
	}
	return leases
}

func leaseAlone(t *testing.T, r EventRepository) {
	first := mustLease(t, r, "a")
	require.Len(t, first, dom.Shards)
	for range 3 {
		r.Advance(leaseTTL / 3)
		require.Equal(t, first, mustLease(t, r, "a"), "a renewed lease keeps its epoch")
	}
}

func leaseShared(t *testing.T, r EventRepository) {
	owners := []string{"a", "b", "c"}
	var held map[string]map[int16]int64
	for range 3 {
		held = make(map[string]map[int16]int64)
		for _, o := range owners {
			held[o] = mustLease(t, r, o)
		}
	}
	owned := make(map[int16]string)
	for o, epochs := range held {
		require.GreaterOrEqual(t, len(epochs), 20, o)
		require.LessOrEqual(t, len(epochs), 22, o)
		for shard := range epochs {
			require.Empty(t, owned[shard], "shard %d has two owners", shard)
			owned[shard] = o
		}
	}
	require.Len(t, owned, dom.Shards)
}

func leaseTakenOver(t *testing.T, r EventRepository) {
	dead := mustLease(t, r, "dead")
	require.Empty(t, mustLease(t, r, "living"), "nothing is taken from a living relay")
	r.Advance(leaseTTL - time.Minute)
	require.Empty(t, mustLease(t, r, "living"))
	r.Advance(2 * time.Minute)
	taken := mustLease(t, r, "living")
	require.Len(t, taken, dom.Shards)
	for shard, epoch := range taken {
		require.Greater(t, epoch, dead[shard])
	}
}

func leaseLapsed(t *testing.T, r EventRepository) {
	before := mustLease(t, r, "a")
	r.Advance(leaseTTL + time.Millisecond)
	after := mustLease(t, r, "a")
	require.Len(t, after, dom.Shards)
	for shard, epoch := range after {
		require.Greater(t, epoch, before[shard])
	}
}

func leaseReleased(t *testing.T, r EventRepository) {
	before := mustLease(t, r, "a")
	require.NoError(t, r.ReleaseShards(context.Background(), "a"))
	after := mustLease(t, r, "b")
	require.Len(t, after, dom.Shards, "the one that left does not count among the living")
	for shard, epoch := range after {
		require.Greater(t, epoch, before[shard])
	}
}

func raceLeases(t *testing.T, r EventRepository) {
	const relays, rounds = 8, 10
	var mu sync.Mutex
	given := make(map[dom.Lease]string)
	errs := together(relays, func(i int) error {
		owner := "relay-" + strconv.Itoa(i)
		for range rounds {
			leases, err := r.LeaseShards(context.Background(), owner, leaseTTL)
			if err != nil {
				return err
			}
			mu.Lock()
			for _, l := range leases {
				if other := given[l]; other != "" && other != owner {
					err = fmt.Errorf("%+v was given to %s and to %s", l, other, owner)
				}
				given[l] = owner
			}
			mu.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	for range 2 {
		for i := range relays {
			mustLease(t, r, "relay-"+strconv.Itoa(i))
		}
	}
	for i := range relays {
		require.Len(t, mustLease(t, r, "relay-"+strconv.Itoa(i)), dom.Shards/relays)
	}
}

// Message answers an event for the outbox, of a booking's version.
func Message(bookingID string, version int, topic dom.EventType) dom.OutboxMessage {
	return dom.OutboxMessage{
		Shard: dom.Shard(bookingID), Topic: string(topic), Key: bookingID,
		Payload:        []byte(fmt.Sprintf(`{"booking_id":%q}`, bookingID)),
		EventID:        dom.NewID(),
		BookingVersion: version,
		TraceParent:    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

// addTo adds an event to a shard that the test chooses.
func addTo(r EventRepository, shard int16, version int) dom.OutboxMessage {
	m := Message("booking-"+strconv.Itoa(int(shard)), version, "booking.held")
	m.Shard = shard
	m.ID = r.Add(m)
	return m
}

func pending(t *testing.T, r EventRepository, perShard int, shards ...int16) []dom.OutboxMessage {
	t.Helper()
	messages, err := r.GetPendingOutbox(context.Background(), shards, perShard, nil)
	require.NoError(t, err)
	return messages
}

func pendingInOrder(t *testing.T, r EventRepository) {
	require.Empty(t, pending(t, r, 10, 1, 2))
	var one, two []dom.OutboxMessage
	for v := 1; v <= 5; v++ {
		one = append(one, addTo(r, 1, v))
		two = append(two, addTo(r, 2, v))
		addTo(r, 3, v)
	}
	require.Equal(t, one, pending(t, r, 10, 1), "whole, by rising id")
	byShard := make(map[int16][]dom.OutboxMessage)
	for _, m := range pending(t, r, 3, 1, 2) {
		byShard[m.Shard] = append(byShard[m.Shard], m)
	}
	require.Equal(t, map[int16][]dom.OutboxMessage{1: one[:3], 2: two[:3]}, byShard, "at most so many of each")
}

func pendingExcept(t *testing.T, r EventRepository) {
	add := func(booking string, version int) dom.OutboxMessage {
		m := Message(booking, version, "booking.held")
		m.Shard = 1
		m.ID = r.Add(m)
		return m
	}
	var except []string
	for i := range 20 {
		booking := "waits-" + strconv.Itoa(i)
		add(booking, 1)
		add(booking, 2)
		except = append(except, booking)
	}
	one, two := add("goes-on", 1), add("goes-on", 2)
	got, err := r.GetPendingOutbox(context.Background(), []int16{1, 2}, 2, except)
	require.NoError(t, err)
	require.Equal(t, []dom.OutboxMessage{one, two}, got)
}

func markSent(t *testing.T, r EventRepository) {
	ctx := context.Background()
	m, other := addTo(r, 1, 1), addTo(r, 2, 1)
	ids := []int64{m.ID, other.ID}
	leases := leaseList(mustLease(t, r, "a"))

	n, err := r.MarkSent(ctx, "b", leases, ids)
	require.NoError(t, err)
	require.Zero(t, n, "another owner")
	var stale []dom.Lease
	for _, l := range leases {
		stale = append(stale, dom.Lease{Shard: l.Shard, Epoch: l.Epoch - 1})
	}
	n, err = r.MarkSent(ctx, "a", stale, ids)
	require.NoError(t, err)
	require.Zero(t, n, "another epoch")
	require.Len(t, pending(t, r, 10, 1, 2), 2)

	var first []dom.Lease
	for _, l := range leases {
		if l.Shard == 1 {
			first = append(first, l)
		}
	}
	n, err = r.MarkSent(ctx, "a", first, ids)
	require.NoError(t, err)
	require.Equal(t, 1, n, "only the shards of the leases")
	require.Equal(t, []dom.OutboxMessage{other}, pending(t, r, 10, 1, 2))

	n, err = r.MarkSent(ctx, "a", leases, ids)
	require.NoError(t, err)
	require.Equal(t, 1, n, "an event is marked once")
	require.Empty(t, pending(t, r, 10, 1, 2))
}

func markFailed(t *testing.T, r EventRepository) {
	ctx := context.Background()
	m, next := addTo(r, 1, 1), addTo(r, 1, 2)
	lease := dom.Lease{Shard: 1, Epoch: mustLease(t, r, "a")[1]}

	require.NoError(t, r.MarkFailed(ctx, "a", lease, m.ID, 1, dom.OutboxPending, "too large \x00 \xff"))
	m.RetryCount = 1
	require.Equal(t, []dom.OutboxMessage{m, next}, pending(t, r, 10, 1))

	require.NoError(t, r.MarkFailed(ctx, "a", lease, m.ID, 4, dom.OutboxDLQ, "too large"))
	require.Equal(t, []dom.OutboxMessage{next}, pending(t, r, 10, 1))

	// What was given up and is sent all the same, by a relay that began earlier, is sent.
	n, err := r.MarkSent(ctx, "a", []dom.Lease{lease}, []int64{m.ID})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, r.MarkFailed(ctx, "a", lease, m.ID, 4, dom.OutboxDLQ, "too large"))
	stats, err := r.OutboxStats(ctx)
	require.NoError(t, err)
	require.Zero(t, stats.DLQ, "what was sent does not fail any more")
}

func markFailedLeaseLost(t *testing.T, r EventRepository) {
	ctx := context.Background()
	m := addTo(r, 1, 1)
	lease := dom.Lease{Shard: 1, Epoch: mustLease(t, r, "a")[1]}
	require.NoError(t, r.MarkFailed(ctx, "b", lease, m.ID, 4, dom.OutboxDLQ, "another owner"))
	lease.Epoch--
	require.NoError(t, r.MarkFailed(ctx, "a", lease, m.ID, 4, dom.OutboxDLQ, "another epoch"))
	require.Equal(t, []dom.OutboxMessage{m}, pending(t, r, 10, 1))
}

func outboxStats(t *testing.T, r EventRepository) {
	ctx := context.Background()
	stats, err := r.OutboxStats(ctx)
	require.NoError(t, err)
	require.Equal(t, dom.OutboxStats{}, stats)

	leases := mustLease(t, r, "a")
	sent := addTo(r, 5, 1)
	_, err = r.MarkSent(ctx, "a", leaseList(leases), []int64{sent.ID})
	require.NoError(t, err)
	r.Advance(time.Hour)
	leases = mustLease(t, r, "a")
	given := addTo(r, 3, 1)
	require.NoError(t, r.MarkFailed(ctx, "a", dom.Lease{Shard: 3, Epoch: leases[3]}, given.ID, 4, dom.OutboxDLQ, "no"))
	addTo(r, 63, 1)
	r.Advance(time.Minute)
	addTo(r, 0, 1)

	stats, err = r.OutboxStats(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2, stats.Pending)
	require.EqualValues(t, 1, stats.DLQ)
	require.InDelta(t, time.Minute.Seconds(), stats.OldestPending.Seconds(), 10)
}

func deleteSent(t *testing.T, r EventRepository) {
	ctx := context.Background()
	leases := mustLease(t, r, "a")
	send := func(m dom.OutboxMessage) {
		n, err := r.MarkSent(ctx, "a", leaseList(leases), []int64{m.ID})
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	for v := 1; v <= 10; v++ {
		send(addTo(r, 1, v))
	}
	waits := addTo(r, 2, 1)
	for v := 11; v <= 14; v++ {
		send(addTo(r, 1, v))
	}
	r.Advance(time.Hour)
	leases = mustLease(t, r, "a")
	young := addTo(r, 1, 15)
	send(young)

	walk := func(age time.Duration) (total int) {
		after := int64(0)
		for range 20 {
			deleted, next, err := r.DeleteSent(ctx, age, after, 4)
			require.NoError(t, err)
			require.LessOrEqual(t, deleted, 4)
			total += deleted
			if next == 0 {
				return total
			}
			require.Greater(t, next, after)
			after = next
		}
		t.Fatal("the walk does not end")
		return 0
	}
	require.Zero(t, walk(2*time.Hour), "all are younger")
	require.Equal(t, 14, walk(30*time.Minute))
	require.Equal(t, []dom.OutboxMessage{waits}, pending(t, r, 10, 1, 2), "what is not sent stays, however old")
	r.Advance(time.Hour)
	require.Equal(t, 1, walk(30*time.Minute), "the young one has aged")
}
