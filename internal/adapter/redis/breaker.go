package redis

import (
	"sync/atomic"
	"time"
)

// breaker lets calls fail at once for a pause after the connection failed, so that a Redis that
// swallows packets does not cost each booking the time of a dial. After the pause one call tries;
// the others go on failing until it succeeds. The zero value is closed: all calls may go.
type breaker struct {
	// openUntil is in nanoseconds since epoch of this package, 0 for closed.
	openUntil atomic.Int64
	pause     time.Duration
}

// processStart makes the breaker's instants monotonic.
var processStart = time.Now()

func monotonic() int64 { return int64(time.Since(processStart)) + 1 }

// allow tells whether a call may go. The call's outcome must be reported unless nothing was learnt.
func (b *breaker) allow() bool {
	until := b.openUntil.Load()
	if until == 0 {
		return true
	}
	now := monotonic()
	return now >= until && b.openUntil.CompareAndSwap(until, now+int64(b.pause))
}

// failed reports that the connection failed.
func (b *breaker) failed() { b.openUntil.Store(monotonic() + int64(b.pause)) }

// succeeded reports that the server answered.
func (b *breaker) succeeded() {
	if b.openUntil.Load() != 0 {
		b.openUntil.Store(0)
	}
}
