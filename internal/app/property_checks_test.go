//go:build integration

package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// clockSkew is how far the database's clock may be from the test's; whole seconds are compared.
const clockSkew = 5 * time.Second

// expired takes note that an overdue hold has been expired by something else than a request for it.
func (m *clientMachine) expired(t *rapid.T, b *clientBooking) {
	m.model.become(b, "expired", "", "")
	m.updated(t, b)
}

// updated takes over when a booking was changed, which the model cannot know.
func (m *clientMachine) updated(t *rapid.T, b *clientBooking) {
	got, err := m.bookings.GetBooking(context.Background(), &bookingpb.GetBookingRequest{Id: b.want.Id})
	require.NoError(t, err)
	require.GreaterOrEqual(t, got.UpdatedAt, b.want.UpdatedAt)
	require.LessOrEqual(t, got.UpdatedAt, time.Now().Add(clockSkew).Unix())
	b.want.UpdatedAt = got.UpdatedAt
	requireProto(t, b.want, got)
}

// requireHolds checks that the keys of a new booking are its own, unless one is that of a sitting which
// the clocks of another zone showed the same.
func (m *clientMachine) requireHolds(t *rapid.T, b *clientBooking) {
	for _, id := range b.tables() {
		key := "hold:" + m.venueID + ":" + id + ":" + b.want.Slot.Date + ":" + b.want.Slot.StartTime
		owner, err := m.service.redis.Get(context.Background(), key).Result()
		if errors.Is(err, goredis.Nil) {
			err = nil
		}
		require.NoError(t, err)
		other := slices.ContainsFunc(m.model.bookings, func(o *clientBooking) bool { return o.want.Id == owner && o.active() })
		if !other && !m.redisWasSlow() {
			require.Equal(t, b.want.Id, owner, "the owner of %s", key)
			delete(m.odd, key)
		}
	}
}

// redisWasSlow tells whether the service has gone on without Redis: it waits for it half a second at
// most, which a busy machine may take.
func (m *clientMachine) redisWasSlow() bool { return strings.Contains(m.log.String(), "Redis is away") }

func (m *clientMachine) redisKeys(t *rapid.T) []string {
	keys, err := m.service.redis.Keys(context.Background(), "hold:"+m.venueID+":*").Result()
	require.NoError(t, err)
	return keys
}

// checkAll compares all that is left at the end of a run.
func (m *clientMachine) checkAll(t *rapid.T) {
	ctx := context.Background()
	list, err := m.bookings.ListBookings(ctx, &bookingpb.ListBookingsRequest{Limit: 500})
	require.NoError(t, err)
	requireProto(t, m.model.list(&bookingpb.ListBookingsRequest{Limit: 500}), list)
	testenv.RequireConsistent(t, m.pool)
	m.checkEvents(t)

	for _, slot := range []*commonpb.Slot{
		{Date: "0001-01-02", StartTime: "00:00", DurationMinutes: 1440}, {Date: "9999-12-31", StartTime: "23:59", DurationMinutes: 1440},
	} {
		free, err := m.bookings.CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{VenueId: m.venueID, TableIds: []string{"t2"}, Slot: slot})
		require.NoError(t, err)
		require.True(t, free.Tables[0].Available)
	}

	status := make(map[string]string)
	for _, b := range m.model.bookings {
		status[b.want.Id] = b.want.Status
	}
	for _, key := range m.redisKeys(t) {
		owner, err := m.service.redis.Get(ctx, key).Result()
		require.NoError(t, err)
		if !m.odd[key] && !m.redisWasSlow() {
			require.Equal(t, "held", status[owner], "the owner of %s", key)
		}
	}

	log := m.log.String()
	for _, secret := range []string{`"level":"error"`, "panic", "Karenina", "1234567", "window"} {
		require.NotContains(t, log, secret)
	}
}

// checkEvents compares the outbox with the changes: one event each, in their order.
func (m *clientMachine) checkEvents(t *rapid.T) {
	want := make(map[string][]modelEvent)
	for _, b := range m.model.bookings {
		want[b.want.Id] = b.events
	}
	rows, err := m.pool.Query(context.Background(), `SELECT key, topic, payload FROM outbox ORDER BY id`)
	require.NoError(t, err)
	var key, topic string
	var payload []byte
	step := 0
	_, err = pgx.ForEachRow(rows, []any{&key, &topic, &payload}, func() error {
		require.NotEmpty(t, want[key], "one event too many: %s of %s", topic, key)
		next := want[key][0]
		want[key] = want[key][1:]
		require.Equal(t, next.topic, topic)
		require.GreaterOrEqual(t, next.step, step, "%s of %s comes too late", topic, key)
		step = next.step
		got := &commonpb.BookingEvent{}
		require.NoError(t, protojson.Unmarshal(payload, got))
		require.Equal(t, "booking-svc", got.Headers.GetSource())
		require.InDelta(t, time.Now().Unix(), got.Headers.GetTimestamp(), 3600)
		got.Headers = nil
		requireProto(t, next.event, got)
		return nil
	})
	require.NoError(t, err)
	for id, left := range want {
		require.Empty(t, left, "events of %s are missing", id)
	}
}

func (m *clientMachine) saw(what string, err error) {
	r := refusalOf(err)
	m.seen[what+": "+strings.TrimSpace(r.code.String()+" "+r.reason)]++
}

func requireProto(t require.TestingT, want, got proto.Message) {
	require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
}

func requireRefused(t require.TestingT, want *refusal, err error) {
	require.Error(t, err)
	require.Equal(t, *want, refusalOf(err), "%v", err)
}

func refusalOf(err error) refusal {
	s := status.Convert(err)
	r := refusal{code: s.Code()}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			var about []string
			for k, v := range d.Metadata {
				about = append(about, k+"="+v)
			}
			slices.Sort(about)
			r.reason, r.about = d.Reason, strings.Join(about, " ")
		case *errdetails.BadRequest:
			var fields []string
			for _, v := range d.FieldViolations {
				fields = append(fields, v.Field)
			}
			r.fields = badFields(fields...).fields
		}
	}
	return r
}
