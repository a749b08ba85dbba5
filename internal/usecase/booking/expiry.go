package booking

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

const (
	// expiryBatch is how many overdue holds are expired in one transaction.
	expiryBatch = 500
	// expirySpacing is the shortest time between the beginnings of two full batches: what piled up
	// while the service was down is cleared at 4,000 a second, and the calls have the rest.
	expirySpacing = 125 * time.Millisecond
	// keyInterval is the time between two removals of old idempotency keys.
	keyInterval = time.Minute
	// keyBatch is how many keys are removed in one statement, and keyPause separates two of them.
	keyBatch = 1000
	keyPause = 20 * time.Millisecond
)

// StartExpiredHoldsWorker expires overdue holds until ctx ends. Any number of replicas may run it.
func (s *Service) StartExpiredHoldsWorker(ctx context.Context) {
	every(ctx, s.cfg.ExpiryInterval, func() {
		defer s.measureOverdue(ctx)
		for began := time.Now(); s.expireHolds(ctx) == expiryBatch; began = time.Now() {
			// A full batch came: there may be more.
			if !sleep(ctx, expirySpacing-time.Since(began)) {
				return
			}
		}
	})
}

// measureOverdue tells what the sweeps left, whichever replica made them and whatever kept them from it.
func (s *Service) measureOverdue(ctx context.Context) {
	longest, err := s.repo.LongestOverdue(untraced(ctx))
	if err != nil {
		// With a database that is away the sweep has just said so, each second.
		zerolog.Ctx(ctx).Debug().Err(err).Msg("Failed to measure overdue holds")
		return
	}
	s.metrics.SetHoldsOverdue(longest)
}

// StartKeyCleanup removes old idempotency keys until ctx ends.
func (s *Service) StartKeyCleanup(ctx context.Context) {
	every(ctx, keyInterval, func() {
		for ctx.Err() == nil {
			deleted, err := s.repo.DeleteOldKeys(ctx, s.cfg.KeyRetention, keyBatch)
			if err != nil && ctx.Err() == nil {
				zerolog.Ctx(ctx).Warn().Err(err).Msg("Failed to remove old idempotency keys")
			}
			if deleted < keyBatch || !sleep(ctx, keyPause) {
				return
			}
		}
	})
}

// expireHolds expires a batch of overdue holds and answers how many.
func (s *Service) expireHolds(ctx context.Context) int {
	// One sweep a second that finds nothing is of no interest; each event has a trace of its sweep.
	spanCtx, end := startSpan(untraced(ctx), "ExpireHolds")
	expired, err := s.repo.ExpireHolds(spanCtx, expiryBatch, s.origin(spanCtx))
	end(err)
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("Failed to expire holds")
	}
	for _, b := range expired {
		s.tell(spanCtx, b, "")
	}
	s.releaseExpired(spanCtx, expired)
	return len(expired)
}

// every calls fn at once and then each interval, until ctx ends.
func every(ctx context.Context, interval time.Duration, fn func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		fn()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
