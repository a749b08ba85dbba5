package venue

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// zoned is a venue service whose venues have one time zone, or fail.
type zoned struct {
	mu    sync.Mutex
	zone  string
	err   error
	calls atomic.Int32
}

func (z *zoned) set(zone string, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.zone, z.err = zone, err
}

func (z *zoned) fake() *fake {
	return &fake{venue: func(_ context.Context, r *venuepb.GetVenueRequest) (*venuepb.Venue, error) {
		z.calls.Add(1)
		z.mu.Lock()
		defer z.mu.Unlock()
		if z.err != nil {
			return nil, z.err
		}
		return &venuepb.Venue{Id: r.GetId(), Timezone: z.zone}, nil
	}}
}

func TestTimeZoneIsCached(t *testing.T) {
	t.Parallel()
	z := &zoned{zone: "Europe/Berlin"}
	c := newClient(t, z.fake(), relaxed)
	for range 3 {
		zone, err := c.TimeZone(t.Context(), "venue-1")
		require.NoError(t, err)
		require.Equal(t, "Europe/Berlin", zone)
	}
	require.EqualValues(t, 1, z.calls.Load())
	z.set("Asia/Tokyo", nil)
	zone, err := c.TimeZone(t.Context(), "venue-2")
	require.NoError(t, err)
	require.Equal(t, "Asia/Tokyo", zone, "each venue has its own")
	require.EqualValues(t, 2, z.calls.Load())
}

func TestTimeZoneIsAskedForAgain(t *testing.T) {
	t.Parallel()
	z := &zoned{zone: "Europe/Berlin"}
	c := newClient(t, z.fake(), Options{Timeout: 5 * time.Second, CacheTTL: time.Millisecond})
	_, err := c.TimeZone(t.Context(), "venue-1")
	require.NoError(t, err)
	z.set("Europe/Lisbon", nil)
	time.Sleep(5 * time.Millisecond)
	zone, err := c.TimeZone(t.Context(), "venue-1")
	require.NoError(t, err)
	require.Equal(t, "Europe/Lisbon", zone)
}

func TestStaleTimeZoneIsUsedWhileTheVenueServiceIsAway(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		zone string
		err  error
	}{
		"away":     {err: status.Error(codes.Unavailable, "away")},
		"fault":    {err: status.Error(codes.Unknown, "its database is away")},
		"nonsense": {zone: "Mars/Olympus_Mons"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := &zoned{zone: "Europe/Berlin"}
			c := newClient(t, z.fake(), Options{Timeout: 5 * time.Second, CacheTTL: time.Millisecond})
			_, err := c.TimeZone(t.Context(), "venue-1")
			require.NoError(t, err)
			z.set(fault.zone, fault.err)
			time.Sleep(5 * time.Millisecond)
			var log bytes.Buffer
			for range 10 {
				zone, err := c.TimeZone(zerolog.New(&log).WithContext(t.Context()), "venue-1")
				require.NoError(t, err)
				require.Equal(t, "Europe/Berlin", zone)
			}
			require.EqualValues(t, 2, z.calls.Load(), "not each request waits for a venue service that is away")
			require.Equal(t, 1, strings.Count(log.String(), `"level":"warn"`))
		})
	}
}

func TestNonsenseTimeZone(t *testing.T) {
	t.Parallel()
	z := &zoned{}
	c := newClient(t, z.fake(), relaxed)
	for _, zone := range []string{"", "Local", "Mars/Olympus_Mons", "../etc/passwd", "UTC+3", "Europe/Berlin\n"} {
		z.set(zone, nil)
		_, err := c.TimeZone(t.Context(), "venue-1")
		requireVenueAway(t, err)
	}
	z.set("UTC", nil)
	zone, err := c.TimeZone(t.Context(), "venue-1")
	require.NoError(t, err)
	require.Equal(t, "UTC", zone)
}

func TestTimeZoneOfAnotherVenue(t *testing.T) {
	t.Parallel()
	c := newClient(t, &fake{venue: func(context.Context, *venuepb.GetVenueRequest) (*venuepb.Venue, error) {
		return &venuepb.Venue{Id: "venue-2", Timezone: "UTC"}, nil
	}}, relaxed)
	_, err := c.TimeZone(t.Context(), "venue-1")
	requireVenueAway(t, err)
}

// Of many who need a zone one asks, and that one may go away without harm to the others.
func TestTimeZoneSingleFlight(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	asked, release := make(chan struct{}), make(chan struct{})
	c := newClient(t, &fake{venue: func(_ context.Context, r *venuepb.GetVenueRequest) (*venuepb.Venue, error) {
		if calls.Add(1) == 1 {
			close(asked)
		}
		<-release
		return &venuepb.Venue{Id: r.GetId(), Timezone: "Europe/Berlin"}, nil
	}}, relaxed)

	first, cancelFirst := context.WithCancel(t.Context())
	firstErr := make(chan error, 1)
	go func() { _, err := c.TimeZone(first, "venue-1"); firstErr <- err }()
	<-asked
	errs := make(chan error, 64)
	for range cap(errs) {
		go func() {
			zone, err := c.TimeZone(t.Context(), "venue-1")
			if err == nil && zone != "Europe/Berlin" {
				err = errors.New("wrong zone " + zone)
			}
			errs <- err
		}()
	}
	cancelFirst()
	require.ErrorIs(t, <-firstErr, context.Canceled)
	close(release)
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.EqualValues(t, 1, calls.Load())
}
