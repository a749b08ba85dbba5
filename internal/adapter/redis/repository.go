// Package redis keeps the fast path's holds in Redis.
package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

const (
	// callTimeout bounds one call. Redis answers in well under a millisecond, and a booking can go
	// on without it.
	callTimeout = 500 * time.Millisecond
	// breakerPause is how long calls fail at once after the connection failed.
	breakerPause = time.Second
	// warnEvery is how often an outage is logged.
	warnEvery = 30 * time.Second
)

// errBreakerOpen is the cause of a call that was not tried.
var errBreakerOpen = errors.New("not tried: the connection failed a moment ago")

// replaceScript takes KEYS[1] for ARGV[2] if it is free or owned by ARGV[1], for ARGV[3] ms.
var replaceScript = redis.NewScript(`
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
`)

// deleteScript releases KEYS[1] if ARGV[1] owns it.
var deleteScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
`)

// HoldRepository is the dom.HoldRepository in Redis: one, with sentinels, or a cluster. Make it with
// NewHoldRepository.
type HoldRepository struct {
	client  redis.UniversalClient
	metrics *metrics.Metrics
	breaker breaker
	// timeout bounds each call.
	timeout time.Duration
	// warnAt is when an outage may be logged again, as monotonic.
	warnAt atomic.Int64
}

var _ dom.HoldRepository = (*HoldRepository)(nil)

// NewHoldRepository makes a repository of holds. The client should heed the deadline of contexts
// (ContextTimeoutEnabled), which bounds each call.
func NewHoldRepository(client redis.UniversalClient, m *metrics.Metrics) *HoldRepository {
	return &HoldRepository{client: client, metrics: m, breaker: breaker{pause: breakerPause}, timeout: callTimeout}
}

// SetHold takes the key if it is free. A ttl below a millisecond counts as one.
//
// Errors: *dom.UnavailableError.
func (r *HoldRepository) SetHold(ctx context.Context, key, bookingID string, ttl time.Duration) (acquired bool, err error) {
	err = r.call(ctx, "set_hold", func(ctx context.Context) error {
		acquired, err = r.client.SetNX(ctx, key, bookingID, atLeastMillisecond(ttl)).Result()
		return err
	})
	return acquired, err
}

// GetHold answers the owner's booking id, "" when the key is free.
//
// Errors: *dom.UnavailableError.
func (r *HoldRepository) GetHold(ctx context.Context, key string) (bookingID string, err error) {
	err = r.call(ctx, "get_hold", func(ctx context.Context) error {
		bookingID, err = r.client.Get(ctx, key).Result()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
	return bookingID, err
}

// ReplaceHold takes the key if it is free or owned by oldID, in one step. A ttl below a millisecond
// counts as one.
//
// Errors: *dom.UnavailableError.
func (r *HoldRepository) ReplaceHold(ctx context.Context, key, oldID, newID string, ttl time.Duration) (replaced bool, err error) {
	err = r.call(ctx, "replace_hold", func(ctx context.Context) error {
		replaced, err = replaceScript.Run(ctx, r.client, []string{key}, oldID, newID,
			atLeastMillisecond(ttl).Milliseconds()).Bool()
		return err
	})
	return replaced, err
}

// DeleteHold releases the key if bookingID owns it, in one step.
//
// Errors: *dom.UnavailableError.
func (r *HoldRepository) DeleteHold(ctx context.Context, key, bookingID string) (deleted bool, err error) {
	err = r.call(ctx, "delete_hold", func(ctx context.Context) error {
		deleted, err = deleteScript.Run(ctx, r.client, []string{key}, bookingID).Bool()
		return err
	})
	return deleted, err
}

// DeleteHolds releases those of the keys that their bookings own. They go in one pipeline, to each
// server of a cluster its own, and not in one script, since a cluster runs no script on keys of
// several slots.
//
// Errors: *dom.UnavailableError.
func (r *HoldRepository) DeleteHolds(ctx context.Context, holds []dom.Hold) error {
	if len(holds) == 0 {
		return nil
	}
	return r.call(ctx, "delete_holds", func(ctx context.Context) error {
		_, err := r.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, h := range holds {
				// With its text and not its hash, which a server that was restarted does not know.
				deleteScript.Eval(ctx, pipe, []string{h.Key}, h.BookingID)
			}
			return nil
		})
		return err
	})
}

// call runs one operation within its time, counts it, and makes its error one of the domain. A
// request that was cancelled or ran out of time stays what it is.
func (r *HoldRepository) call(ctx context.Context, operation string, do func(context.Context) error) error {
	start := time.Now()
	defer func() { r.metrics.ObserveRedis(operation, start) }()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if !r.breaker.allow() {
		return &dom.UnavailableError{Dependency: dom.Redis, Err: errBreakerOpen}
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := do(limited)
	var reply redis.Error
	switch {
	case err == nil:
		r.breaker.succeeded()
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", operation, ctx.Err())
	case errors.As(err, &reply):
		// The server is there and says no (loading, read-only, out of memory): that costs no time.
		r.breaker.succeeded()
	default:
		r.breaker.failed()
	}
	r.warn(ctx, operation, err)
	return &dom.UnavailableError{Dependency: dom.Redis, Err: err}
}

// warn logs an outage once a while.
func (r *HoldRepository) warn(ctx context.Context, operation string, err error) {
	now, at := monotonic(), r.warnAt.Load()
	if now < at || !r.warnAt.CompareAndSwap(at, now+int64(warnEvery)) {
		return
	}
	zerolog.Ctx(ctx).Warn().Err(err).Str("operation", operation).
		Msg("Redis is away: holds go without it, PostgreSQL alone decides")
}

// atLeastMillisecond keeps a key from being written without a time to live, which is what the driver
// takes 0 for.
func atLeastMillisecond(ttl time.Duration) time.Duration { return max(ttl, time.Millisecond) }
