//go:build integration

package service

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// dashboardQueries are the queries of the dashboard, by the titles of their panels.
func dashboardQueries(t *testing.T) map[string][]string {
	t.Helper()
	file, err := os.ReadFile("../../deploy/grafana/dashboards/booking-svc.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(file, &dashboard))
	queries, row := make(map[string][]string), ""
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			row = p.Title
			continue
		}
		for _, q := range p.Targets {
			queries[row+", "+p.Title] = append(queries[row+", "+p.Title], q.Expr)
		}
	}
	require.Greater(t, len(queries), 30)
	return queries
}

// A Prometheus that looks at the service under load has something to show in each graph of the dashboard,
// and can follow each alert rule.
func TestDashboardShowsTheService(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	p := s.start(t, "OUTBOX_RETRY_AFTER=100ms")
	prom := startPrometheus(t, strings.TrimPrefix(p.http, "http://"))
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	for i := range 3 {
		clients.Go(func() { s.liveAndLetLive(ctx, p, 7*i) })
	}
	// Kafka refuses a name with a space: the event is given up.
	_, err := s.pool.Exec(ctx, `INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
		VALUES (0, 'no topic', $1, '{}', $1, 9)`, uuid.NewString())
	require.NoError(t, err)

	variables := strings.NewReplacer("$__rate_interval", "15s", "$instance", ".*")
	queries := dashboardQueries(t)
	empty := map[string]string{"all": "not looked at"}
	for end := time.Now().Add(45 * time.Second); len(empty) > 0 && time.Now().Before(end); time.Sleep(time.Second) {
		clear(empty)
		for title, exprs := range queries {
			for _, expr := range exprs {
				values, err := prom.query(variables.Replace(expr))
				switch {
				case err != nil:
					empty[title] = err.Error()
				case !slices.ContainsFunc(values, func(v string) bool { return v != "NaN" }):
					empty[title] = expr
				}
			}
		}
	}
	require.Empty(t, empty, "graphs without a value")

	// The outbox is measured each five seconds.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		rules := prom.rules(c)
		for _, r := range rules {
			assert.Equal(c, "ok", r.Health, "%s: %s", r.Name, r.LastError)
		}
		assert.Contains(c, []string{"pending", "firing"}, rules["BookingEventsGivenUp"].State, "an event was given up")
		assert.Equal(c, "inactive", rules["BookingKafkaAway"].State)
	}, 20*time.Second, 200*time.Millisecond)
}

// liveAndLetLive goes through the lives of bookings until ctx ends, each on a date of its own, with every
// method, refusals, and now and then a venue service that is away.
func (s *stack) liveAndLetLive(ctx context.Context, p *process, first int) {
	date, _ := time.Parse(time.DateOnly, day)
	away := func(context.Context, *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
		return nil, status.Error(codes.Unavailable, "away")
	}
	// A pace that leaves the machine to other tests.
	for n := first; ctx.Err() == nil; n, _ = n+1, pause(ctx, 50*time.Millisecond) {
		slot := &commonpb.Slot{Date: date.AddDate(0, 0, n%300).Format(time.DateOnly), StartTime: "19:00"}
		request := s.request(s.venue.table2, "", 2)
		request.Slot, request.IdempotencyKey = slot, uuid.NewString()
		if n%20 == 0 {
			s.venue.SetAnswer(away)
			_, _ = p.bookings.CreateBooking(ctx, request)
			s.venue.SetAnswer(nil)
		}
		b, err := p.bookings.CreateBooking(ctx, request)
		if err != nil {
			continue
		}
		request.IdempotencyKey = uuid.NewString()
		_, _ = p.bookings.CreateBooking(ctx, request) // the table is taken
		_, _ = p.bookings.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: b.Id})
		_, _ = p.bookings.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: s.venue.id, Date: slot.Date})
		_, _ = p.bookings.CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{
			VenueId: s.venue.id, TableIds: []string{s.venue.table2}, Slot: slot,
		})
		if n%3 == 0 {
			_, _ = p.bookings.CancelBooking(ctx, &bookingpb.CancelBookingRequest{Id: b.Id, Reason: "ill"})
			continue
		}
		_, _ = p.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: b.Id})
		if n%3 == 1 {
			_, _ = p.bookings.MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: b.Id})
			continue
		}
		_, _ = p.bookings.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: b.Id})
		_, _ = p.bookings.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: b.Id})
	}
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err()
}
