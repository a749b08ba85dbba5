package booking

import (
	"context"
	"errors"
	"hash/fnv"
	"time"
)

// Shards is the number of parts that the outbox is divided into. Each has one relay at a time.
const Shards = 64

// Shard answers the part of the outbox that holds a booking's events.
func Shard(bookingID string) int16 {
	h := fnv.New32a()
	h.Write([]byte(bookingID))
	return int16(h.Sum32() % Shards)
}

// OutboxStatus tells where an event is on its way to Kafka.
type OutboxStatus string

const (
	// OutboxPending is an event that waits to be sent.
	OutboxPending OutboxStatus = "pending"
	// OutboxSent is one that was acknowledged by Kafka.
	OutboxSent OutboxStatus = "sent"
	// OutboxDLQ is one that was given up after its own fault and waits for an operator.
	OutboxDLQ OutboxStatus = "dlq"
)

// OutboxMessage is an event on its way to Kafka.
type OutboxMessage struct {
	// ID rises with each commit within a booking.
	ID    int64
	Shard int16
	Topic string
	// Key is the booking id.
	Key string
	// Payload is common.BookingEvent as protobuf JSON.
	Payload []byte
	// EventID is the same however often the event is delivered.
	EventID string
	// BookingVersion is the booking's after the change.
	BookingVersion int
	// TraceParent is the W3C trace context of the request; may be empty.
	TraceParent string
	// RetryCount counts the failures that were the record's own fault.
	RetryCount int
}

// Lease is the right to relay a shard. The epoch rises with each change of the owner.
type Lease struct {
	Shard int16
	Epoch int64
}

// OutboxStats describe the outbox.
type OutboxStats struct {
	Pending int64
	// OldestPending is the age of the oldest pending event, 0 when none is pending.
	OldestPending time.Duration
	DLQ           int64
}

// EventRepository is the outbox as its relay sees it. Events are added by Repository, in the
// transaction of their change.
//
// Every method may answer *UnavailableError for Postgres.
type EventRepository interface {
	// LeaseShards renews the leases of owner until ttl from now, takes free or lapsed shards up
	// to its fair share among the living relays, and gives up what it has beyond that. It answers
	// all that owner now has.
	LeaseShards(ctx context.Context, owner string, ttl time.Duration) ([]Lease, error)
	// ReleaseShards gives up all leases of owner and its place among the living relays.
	ReleaseShards(ctx context.Context, owner string) error
	// GetPendingOutbox reads pending events of the shards, at most perShard of each, by rising id
	// within a shard, as of one moment. The bookings in except are passed over.
	GetPendingOutbox(ctx context.Context, shards []int16, perShard int, except []string) ([]OutboxMessage, error)
	// MarkSent marks events as sent, in one statement, as far as owner still has the lease of
	// their shard in the same epoch. It answers how many it marked.
	MarkSent(ctx context.Context, owner string, leases []Lease, ids []int64) (int, error)
	// MarkFailed counts a failure of the event itself under the lease: it stays pending, or
	// becomes dlq. cause is kept with it.
	MarkFailed(ctx context.Context, owner string, lease Lease, id int64, retryCount int, status OutboxStatus, cause string) error
	// OutboxStats describes the outbox.
	OutboxStats(ctx context.Context) (OutboxStats, error)
	// DeleteSent removes sent events with an id above after that are older than age, reading at
	// most limit rows. It answers how many it removed, and the id to go on after, 0 when there is
	// nothing more to remove.
	DeleteSent(ctx context.Context, age time.Duration, after int64, limit int) (deleted int, next int64, err error)
}

// ErrRecordRejected says that Kafka refuses this very record (too large, its topic invalid or
// forbidden): sending it again later does not help the others.
var ErrRecordRejected = errors.New("record rejected")

// EventPublisher sends events to Kafka.
type EventPublisher interface {
	// Publish sends the messages, pipelined, and waits until each is acknowledged or has failed.
	// The answer has one entry a message: nil for acknowledged, an error that wraps
	// ErrRecordRejected for a fault of this very record, *UnavailableError for Kafka otherwise.
	Publish(ctx context.Context, messages []OutboxMessage) []error
	// Ping tells whether any broker answers; nil means that one does.
	//
	// Errors: *UnavailableError for Kafka.
	Ping(ctx context.Context) error
}

// EventEncoder writes an event as the value of its Kafka message: common.BookingEvent as protobuf
// JSON with proto field names. In an event of a new hold, `held.expires_at` is left out when the
// booking's ExpiresAt is zero; the repository, whose clock decides it, then fills it in.
type EventEncoder func(*Event) ([]byte, error)
