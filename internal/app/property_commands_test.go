//go:build integration

package app

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

func (m *clientMachine) create(t *rapid.T) {
	r, bad := m.drawCreate(t)
	m.send(t, r, bad)
}

// createInPlace asks for the table and start of a booking that there is or was.
func (m *clientMachine) createInPlace(t *rapid.T) {
	if len(m.model.bookings) == 0 {
		t.Skip("there is no booking")
	}
	m.createAt(t, rapid.SampledFrom(m.model.bookings).Draw(t, "booking"))
}

func (m *clientMachine) createAt(t *rapid.T, b *clientBooking) {
	r, bad := m.drawCreate(t)
	if len(bad) == 0 {
		r.Table.TableId = rapid.SampledFrom(b.tables()).Draw(t, "table")
		r.Slot.Date, r.Slot.StartTime = b.want.Slot.Date, b.want.Slot.StartTime
	}
	m.send(t, r, bad)
}

// createAgain repeats a request that came with a key, or sends another with that key.
func (m *clientMachine) createAgain(t *rapid.T) {
	if len(m.keyed) == 0 {
		t.Skip("no request had a key")
	}
	r := proto.CloneOf(rapid.SampledFrom(m.keyed).Draw(t, "request"))
	switch rapid.SampledFrom([]string{"", "", "", "spelling", "name", "comment", "length", "room", "start"}).Draw(t, "change") {
	case "spelling":
		r.Table.VenueId = m.venueID
		r.Slot.DurationMinutes = minutes(r.Slot)
		r.CustomerName += " "
	case "name":
		r.CustomerName = "Кто-то else"
	case "comment":
		r.Comment, r.CustomerPhone = r.CustomerPhone, r.Comment[:0]
	case "length":
		r.Slot.DurationMinutes = 45
	case "room":
		r.Table.RoomId += "x"
	case "start":
		r.Slot.StartTime = "20:20"
	}
	m.send(t, r, nil)
}

func (m *clientMachine) send(t *rapid.T, r *bookingpb.CreateBookingRequest, bad []string) {
	m.model.step++
	before := time.Now()
	prior, refused, tables := m.model.create(r, bad, before)
	got, err := m.bookings.CreateBooking(context.Background(), r)
	m.saw("create", err)
	switch {
	case refused != nil:
		requireRefused(t, refused, err)
		return
	case prior != nil:
		require.NoError(t, err)
		requireProto(t, prior.want, got)
		return
	}
	require.NoError(t, err)
	require.NotEmpty(t, got.Id)
	require.WithinRange(t, time.Unix(got.CreatedAt, 0), before.Add(-clockSkew), time.Now().Add(clockSkew))
	n := normalised(r)
	b := &clientBooking{want: &bookingpb.Booking{
		Id: got.Id, VenueId: m.venueID, Table: n.Table, Slot: n.Slot, PartySize: n.PartySize,
		CustomerName: n.CustomerName, CustomerPhone: n.CustomerPhone, Comment: n.Comment, AdminId: n.AdminId,
		Status: "held", CreatedAt: got.CreatedAt, UpdatedAt: got.CreatedAt, ExpiresAt: got.CreatedAt + 15*60,
	}}
	if n.Table.RoomId == "" {
		b.want.Table = &commonpb.TableRef{VenueId: m.venueID, RoomId: "hall", TableId: n.Table.TableId}
	}
	for _, id := range tables[1:] {
		b.want.JoinedTables = append(b.want.JoinedTables, &commonpb.TableRef{VenueId: m.venueID, RoomId: "hall", TableId: id})
	}
	requireProto(t, b.want, got)
	b.from, b.to, _ = sitting(m.model.zone, r.Slot)
	// Overdue holds in the way are expired first.
	for _, old := range m.model.allOverdue() {
		if old.from.Before(b.to) && b.from.Before(old.to) && slices.ContainsFunc(tables, func(id string) bool { return slices.Contains(old.tables(), id) }) {
			m.seen["create in the place of an overdue hold"]++
			m.expired(t, old)
		}
	}
	m.requireHolds(t, b)
	m.model.become(b, "held", "", "")
	m.model.bookings = append(m.model.bookings, b)
	if r.IdempotencyKey != "" {
		m.model.keys[r.IdempotencyKey] = &keyUse{request: n, booking: b}
		m.keyed = append(m.keyed, proto.CloneOf(r))
	}
}

func (m *clientMachine) change(t *rapid.T) {
	ctx := context.Background()
	if len(m.model.bookings) == 0 {
		t.Skip("there is no booking")
	}
	to, r, bad := m.drawChange(t)
	m.model.step++
	b, refused, becomes := m.model.change(r.Id, to, bad)
	var got *bookingpb.Booking
	var err error
	switch to {
	case "confirmed":
		got, err = m.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: r.Id, AdminId: r.AdminId})
	case "cancelled":
		got, err = m.bookings.CancelBooking(ctx, r)
	case "seated":
		got, err = m.bookings.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: r.Id, AdminId: r.AdminId})
	case "finished":
		got, err = m.bookings.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: r.Id, AdminId: r.AdminId})
	case "no_show":
		got, err = m.bookings.MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: r.Id, AdminId: r.AdminId})
	}
	m.saw("to "+to, err)
	if becomes != "" {
		m.model.become(b, becomes, r.AdminId, r.Reason)
		m.updated(t, b)
	}
	if refused != nil {
		requireRefused(t, refused, err)
		return
	}
	require.NoError(t, err)
	requireProto(t, b.want, got)
}

func (m *clientMachine) get(t *rapid.T) {
	ids := []string{"nobody"}
	for _, b := range m.model.bookings {
		ids = append(ids, b.want.Id)
	}
	slices.Reverse(ids)
	a := ask(t)
	r := &bookingpb.GetBookingRequest{Id: draw(a, "id", ids, badIDs)}
	got, err := m.bookings.GetBooking(context.Background(), r)
	m.saw("get", err)
	i := slices.IndexFunc(m.model.bookings, func(b *clientBooking) bool { return b.want.Id == r.Id })
	switch {
	case len(a.bad) > 0:
		requireRefused(t, badFields(a.bad...), err)
	case i < 0:
		requireRefused(t, notFound, err)
	default:
		require.NoError(t, err)
		requireProto(t, m.model.bookings[i].want, got)
	}
}

func (m *clientMachine) list(t *rapid.T) {
	r, bad := m.drawList(t)
	got, err := m.bookings.ListBookings(context.Background(), r)
	m.saw("list", err)
	if len(bad) > 0 {
		requireRefused(t, badFields(bad...), err)
		return
	}
	require.NoError(t, err)
	requireProto(t, m.model.list(r), got)
}

func (m *clientMachine) availability(t *rapid.T) {
	r, bad := m.drawAvailability(t)
	want, refused := m.model.availability(r, bad)
	got, err := m.bookings.CheckTableAvailability(context.Background(), r)
	m.saw("availability", err)
	if refused != nil {
		requireRefused(t, refused, err)
		return
	}
	require.NoError(t, err)
	requireProto(t, want, got)
}

// holdsRunOut makes some holds overdue, by the database's clock. Somebody may wait for it.
func (m *clientMachine) holdsRunOut(t *rapid.T) {
	var held []*clientBooking
	for _, b := range m.model.bookings {
		if b.want.Status == "held" && !b.overdue {
			held = append(held, b)
		}
	}
	if len(held) == 0 {
		t.Skip("there is no hold")
	}
	held = rapid.Permutation(held).Draw(t, "holds")[:rapid.IntRange(1, len(held)).Draw(t, "how many")]
	for _, b := range held {
		err := m.pool.QueryRow(context.Background(), `
			UPDATE bookings SET expires_at = now() - interval '1 second' WHERE id = $1
			RETURNING floor(extract(epoch FROM expires_at))::bigint`, b.want.Id).Scan(&b.want.ExpiresAt)
		require.NoError(t, err)
		b.overdue = true
	}
	if rapid.Bool().Draw(t, "somebody waits") {
		m.createAt(t, held[0])
	}
}

// sweep runs the worker until no hold is overdue.
func (m *clientMachine) sweep(t *rapid.T) {
	m.model.step++
	ctx, cancel := context.WithCancel(context.Background())
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		m.service.bookings.StartExpiredHoldsWorker(ctx)
	}()
	require.Eventually(t, func() bool {
		var left int
		err := m.pool.QueryRow(ctx, `SELECT count(*) FROM bookings WHERE status = 'held' AND expires_at < now()`).Scan(&left)
		return err == nil && left == 0
	}, 30*time.Second, time.Millisecond)
	cancel()
	<-swept
	for _, b := range m.model.allOverdue() {
		m.seen["swept"]++
		m.expired(t, b)
	}
}

// venueAway lets the venue answer no question about tables while a create comes.
func (m *clientMachine) venueAway(t *rapid.T) {
	code := rapid.SampledFrom([]codes.Code{codes.Unavailable, codes.Internal, codes.NotFound, codes.AlreadyExists}).Draw(t, "code")
	m.venue.SetAnswer(func(context.Context, *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
		return nil, status.Error(code, "away")
	})
	m.model.away = true
	m.create(t)
	m.model.away = false
	m.venue.SetAnswer(nil)
}

// venueAsks lets the venue ask which tables are free before it offers any, or not: its knowledge may
// be old.
func (m *clientMachine) venueAsks(*rapid.T) {
	m.model.informed = !m.model.informed
	m.venue.SetCallback(m.model.informed)
}

// venueMoves gives the venue another zone. A service that starts afterwards has no old one cached.
func (m *clientMachine) venueMoves(t *rapid.T) {
	m.model.zone = drawZone(t)
	m.venue.SetZone(m.venueID, m.model.zone.String())
	m.restart(t)
	m.createInPlace(t)
}

// redisLoses takes keys away, as a restart of Redis does.
func (m *clientMachine) redisLoses(t *rapid.T) {
	for _, key := range m.redisKeys(t) {
		require.NoError(t, m.service.redis.Del(context.Background(), key).Err())
		delete(m.odd, key)
	}
}

// redisOutdated lets a create find, under its key, the id of a booking that has ended, or never was: its
// process died before it could remove or write it.
func (m *clientMachine) redisOutdated(t *rapid.T) {
	r, bad := m.drawCreate(t)
	if len(bad) == 0 {
		owners := []string{dom.NewID()}
		for _, b := range m.model.bookings {
			if !b.active() {
				owners = append(owners, b.want.Id)
			}
		}
		key := "hold:" + m.venueID + ":" + r.Table.TableId + ":" + r.Slot.Date + ":" + r.Slot.StartTime
		m.odd[key] = true
		err := m.service.redis.Set(context.Background(), key, rapid.SampledFrom(owners).Draw(t, "owner"), time.Hour).Err()
		require.NoError(t, err)
	}
	m.send(t, r, bad)
}
