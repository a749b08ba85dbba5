package venue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// staleFor is how long an old value is used without asking again after the venue service did not
// answer. Requests would else wait for it one after the other.
const staleFor = 5 * time.Second

// TimeZone answers the IANA time zone of a venue: the cached one, or the venue service's, or the
// last one known when the venue service does not answer.
//
// Errors: dom.ErrVenueUnknown, *dom.UnavailableError.
func (c *Client) TimeZone(ctx context.Context, venueID string) (string, error) {
	return c.zones.get(ctx, venueID)
}

// fetchZone asks the venue service.
func (c *Client) fetchZone(ctx context.Context, venueID string) (string, error) {
	venue, err := c.venues.GetVenue(ctx, &venuepb.GetVenueRequest{Id: venueID})
	switch status.Code(err) {
	case codes.OK:
	case codes.Unknown, codes.NotFound:
		// The venue service answers Unknown for a venue that it does not know.
		return "", fmt.Errorf("%w: %w", dom.ErrVenueUnknown, err)
	default:
		return "", err
	}
	if id := venue.GetId(); id != "" && id != venueID {
		return "", errors.New("the answer is about another venue")
	}
	if _, err := dom.LoadZone(venue.GetTimezone()); err != nil {
		return "", err
	}
	return venue.GetTimezone(), nil
}

// zoneCache keeps the time zones of venues that exist. There are few of them.
type zoneCache struct {
	ttl     time.Duration
	timeout time.Duration
	fetch   func(ctx context.Context, venueID string) (string, error)
	flight  singleflight.Group

	mu    sync.Mutex
	zones map[string]cachedZone
}

type cachedZone struct {
	name string
	// until is when it must be asked for again.
	until time.Time
}

func newZoneCache(ttl, timeout time.Duration, fetch func(context.Context, string) (string, error)) *zoneCache {
	return &zoneCache{ttl: ttl, timeout: timeout, fetch: fetch, zones: make(map[string]cachedZone)}
}

func (z *zoneCache) get(ctx context.Context, venueID string) (string, error) {
	old, known := z.lookUp(venueID)
	if known && time.Now().Before(old.until) {
		return old.name, nil
	}
	wait, cancel := context.WithTimeout(ctx, timeoutWithin(ctx, z.timeout))
	defer cancel()
	var name string
	var err error
	select {
	case r := <-z.flight.DoChan(venueID, func() (any, error) { return z.refresh(ctx, venueID) }):
		name, _ = r.Val.(string)
		err = r.Err
	case <-wait.Done():
		err = wait.Err()
	}
	switch {
	case err == nil:
		return name, nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("time zone: %w", ctx.Err())
	case known:
		z.keepStale(ctx, venueID, err)
		return old.name, nil
	case errors.Is(err, dom.ErrVenueUnknown):
		return "", err
	}
	return "", asDomain(ctx, "time zone", err)
}

// refresh asks for the zone on behalf of all who wait for it: it goes on when the one that began it
// goes away.
func (z *zoneCache) refresh(ctx context.Context, venueID string) (string, error) {
	if zone, known := z.lookUp(venueID); known && time.Now().Before(zone.until) {
		return zone.name, nil // the one before has ended since this one was found to be needed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), z.timeout)
	defer cancel()
	name, err := z.fetch(ctx, venueID)
	if err != nil {
		return "", err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.zones[venueID] = cachedZone{name: name, until: time.Now().Add(z.ttl)}
	return name, nil
}

func (z *zoneCache) lookUp(venueID string) (cachedZone, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	zone, known := z.zones[venueID]
	return zone, known
}

// keepStale lets the old value be used for a little longer.
func (z *zoneCache) keepStale(ctx context.Context, venueID string, cause error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	zone := z.zones[venueID]
	now := time.Now()
	if now.Before(zone.until) {
		return // another request was here, or the venue service has answered after all
	}
	zone.until = now.Add(staleFor)
	z.zones[venueID] = zone
	zerolog.Ctx(ctx).Warn().Err(cause).Str("venue_id", venueID).Msg("Venue service does not tell the time zone: the last one known is used")
}
