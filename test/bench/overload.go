package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

const (
	// bestClients are as many as the service serves best, and MAX_CALLS lets in so many.
	bestClients = 64
	// tooManyClients come instead.
	tooManyClients = 10 * bestClients
)

// overloadClaim compares a service that is asked by ten times as many clients as it lets in with one that is
// asked by as many, in turn.
func (b *bench) overloadClaim(ctx context.Context, rounds int, d time.Duration) (c claim, err error) {
	whole, settings := b.service, b.Settings
	b.Settings = append(settings[:len(settings):len(settings)], fmt.Sprintf("MAX_CALLS=%d", bestClients))
	limited, err := b.Start(b.Binary, serviceDB)
	b.Settings = settings
	if err != nil {
		return c, err
	}
	b.service = limited
	defer func() {
		b.service = whole
		if dropErr := b.Drop(limited); err == nil {
			err = dropErr
		}
	}()
	if _, err := closed(ctx, bestClients, time.Second, b.create); err != nil {
		return c, err
	}
	var kept []float64
	var best, accepted, refused result
	for range rounds {
		unloaded, err := closed(ctx, bestClients, d, b.create)
		if err != nil {
			return c, err
		}
		served, sent, err := b.overload(ctx, d)
		if err != nil {
			return c, err
		}
		kept = append(kept, served.rate()/unloaded.rate())
		best, accepted, refused = best.and(unloaded), accepted.and(served), refused.and(sent)
	}
	soon, err := b.refusedSoon(ctx)
	if err != nil {
		return c, err
	}
	slower := float64(accepted.percentile(99)) / float64(best.percentile(99))
	return claim{
		measured: fmt.Sprintf("%s of the best speed, %.0f creates/s; p99 %.1f ms, %.1f times the unloaded one; %.0f refused/s, %.1f %% of them by the service within 5 ms, at the client p50 %.1f ms, p99 %.1f ms",
			spread(kept, "%.2f"), accepted.rate(), milliseconds(accepted.percentile(99)), slower,
			refused.rate(), 100*soon, milliseconds(refused.percentile(50)), milliseconds(refused.percentile(99))),
		goal: "≥ 0.8; p99 ≤ 3 times; 99 % refused in 5 ms", met: median(kept) >= 0.8 && slower <= 3 && soon >= 0.99,
	}, nil
}

// refusals are the service's own times of refused calls: those of at most 5 ms, and of any.
var refusals = regexp.MustCompile(`(?m)^grpc_server_request_duration_seconds_bucket\{[^}]*status="resource_exhausted",le="(0\.005|\+Inf)"\} (\S+)$`)

// refusedSoon answers which part of the refused calls the service has refused within 5 ms. A client on the same two
// processors waits for its own turn as well.
func (b *bench) refusedSoon(ctx context.Context) (float64, error) {
	_, metrics, err := process.Get(ctx, b.service.HTTP+"/metrics")
	if err != nil {
		return 0, err
	}
	counts := make(map[string]float64)
	for _, match := range refusals.FindAllStringSubmatch(string(metrics), -1) {
		n, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			return 0, err
		}
		counts[match[1]] += n
	}
	if counts["+Inf"] == 0 {
		return 0, errors.New("the service tells of no refused call")
	}
	return counts["0.005"] / counts["+Inf"], nil
}

// overload lets too many clients create bookings. Who is refused comes again when the refusal says, or up to
// half as long later, so that they do not come together.
func (b *bench) overload(ctx context.Context, d time.Duration) (accepted, refused result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	began := time.Now()
	for client := range tooManyClients {
		wg.Go(func() {
			pause := rand.N(time.Second) // They do not begin together either.
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause):
				}
				asked := time.Now()
				callErr := b.create(ctx, client)
				took := time.Since(asked)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				// The first second is theirs to gather in.
				counts := time.Since(began) > time.Second
				switch {
				case callErr == nil:
					pause = 0
					if counts {
						accepted.latencies = append(accepted.latencies, took)
					}
				case status.Code(callErr) == codes.ResourceExhausted:
					pause = retryDelay(callErr)
					pause += rand.N(pause / 2)
					if counts {
						refused.latencies = append(refused.latencies, took)
					}
				case err == nil:
					err = callErr
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-time.After(time.Second + d):
	case <-ctx.Done():
	}
	cancel()
	wg.Wait()
	time.Sleep(settle) // The service still works on what nobody waits for any more.
	accepted.calls, accepted.elapsed = len(accepted.latencies), d
	refused.calls, refused.elapsed = len(refused.latencies), d
	return accepted, refused, err
}

// retryDelay answers when a refused call may come again.
func retryDelay(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	return time.Second
}
