//go:build integration

package app

import (
	"context"
	"errors"
	"flag"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// What a guest tells must not get into the log.
const (
	guestName    = "Анна Karenina"
	guestPhone   = "+7 999 1234567"
	guestComment = `by the "window" \ 🪟`
)

// A run begins with a new service: half of rapid's usual number is enough, unless one is asked for.
func init() {
	if _, asked := os.LookupEnv("RAPID_CHECKS"); !asked {
		_ = flag.Set("rapid.checks", "50") // fails only for a flag that is not there
	}
}

var clientZones = []string{"Europe/Berlin", "America/St_Johns", "Pacific/Apia", "UTC"}

// TestClientMachine drives the service as a client does, with random requests, good and bad, and
// compares every answer with that of a model; in the end it compares the events. The service is the
// real one in this process, on real PostgreSQL and Redis, with the venue of the development stack; its
// workers run when they are called.
//
// RAPID_CHECKS is how many runs there are (50), RAPID_STEPS how long one is (30).
func TestClientMachine(t *testing.T) {
	t.Parallel()
	url := testenv.PostgresURL(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	seen := make(map[string]int)
	rapid.Check(t, func(rt *rapid.T) {
		m := newClientMachine(t, rt, url, pool)
		m.seen = seen
		rt.Repeat(map[string]func(*rapid.T){
			"create":            m.create,
			"create another":    m.create,
			"create in place":   m.createInPlace,
			"create again":      m.createAgain,
			"change":            m.change,
			"change another":    m.change,
			"change more":       m.change,
			"get":               m.get,
			"list":              m.list,
			"availability":      m.availability,
			"holds run out":     m.holdsRunOut,
			"sweep":             m.sweep,
			"venue is away":     m.venueAway,
			"venue asks or not": m.venueAsks,
			"venue moves":       m.venueMoves,
			"restart":           m.restart,
			"Redis loses holds": m.redisLoses,
			"Redis is outdated": m.redisOutdated,
		})
		m.checkAll(rt)
	})
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%6d %s", seen[what], what)
	}
}

// clientMachine is a service and the model of it.
type clientMachine struct {
	t       *testing.T
	model   *clientModel
	venueID string
	// night is a midnight near which all sittings are; in some runs the clocks change in that night.
	night time.Time
	// keyed are the requests that came with a key and were answered.
	keyed []*bookingpb.CreateBookingRequest
	// odd are the keys that the test wrote into Redis.
	odd  map[string]bool
	seen map[string]int

	pool     *pgxpool.Pool
	settings []string
	venue    *devstack.Venue
	log      *testenv.Buffer
	service  *service
	stop     func()
	bookings bookingpb.BookingServiceClient
}

func newClientMachine(t *testing.T, rt *rapid.T, url string, pool *pgxpool.Pool) *clientMachine {
	ctx := context.Background()
	_, err := pool.Exec(ctx, `WITH b AS (DELETE FROM bookings) DELETE FROM outbox`)
	require.NoError(rt, err)
	db, err := pgx.ParseConfig(url)
	require.NoError(rt, err)

	m := &clientMachine{
		t: t, pool: pool, venueID: dom.NewID(), log: &testenv.Buffer{}, odd: make(map[string]bool),
		model: &clientModel{
			keys: make(map[string]*keyUse), informed: true,
			tables: []modelTable{{"t2", 2, false}, {"t4a", 4, true}, {"t4b", 4, true}, {"t4c", 4, true}, {"t6", 6, false}},
		},
	}
	m.model.venueID = m.venueID
	m.model.zone = drawZone(rt)
	m.night = drawNight(rt, m.model.zone)
	place := devstack.Place{ID: m.venueID, Name: "Test", TimeZone: m.model.zone.String()}
	for _, table := range m.model.tables {
		place.Tables = append(place.Tables, devstack.Table{
			ID: table.id, RoomID: "hall", Capacity: table.capacity, CanMerge: table.merges,
		})
	}
	m.venue, err = devstack.NewVenue(devstack.VenueOptions{Places: []devstack.Place{place}})
	require.NoError(rt, err)
	rt.Cleanup(m.venue.Stop)
	// The ports are not used. The time limits are such that a busy machine does not meet them.
	m.settings = []string{
		"PORT=1", "METRICS_PORT=2",
		"POSTGRES_HOST=" + db.Host, "POSTGRES_PORT=" + strconv.Itoa(int(db.Port)), "POSTGRES_DB=" + db.Database,
		"POSTGRES_USER=" + db.User, "POSTGRES_PASSWORD=" + db.Password, "POSTGRES_MAX_CONNS=4",
		"REDIS_ADDR=" + testenv.RedisAddr(t), "GRPC_VENUE_ADDR=" + m.venue.Addr(),
		"REQUEST_TIMEOUT=60s", "VENUE_TIMEOUT=30s", "LOG_LEVEL=debug",
	}
	m.start(rt)
	rt.Cleanup(func() { m.stop() })
	return m
}

func drawZone(t *rapid.T) *time.Location {
	zone, err := time.LoadLocation(rapid.SampledFrom(clientZones).Draw(t, "zone"))
	require.NoError(t, err)
	return zone
}

// drawNight draws a midnight of the coming year, as UTC shows it: an ordinary one, or one of those in
// which the zone's clocks change.
func drawNight(t *rapid.T, zone *time.Location) time.Time {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	nights := []time.Time{noon.AddDate(0, 0, 20).Add(-12 * time.Hour)}
	for day := 10; day < 380; day++ {
		_, before := noon.AddDate(0, 0, day-1).In(zone).Zone()
		if _, after := noon.AddDate(0, 0, day).In(zone).Zone(); after != before {
			nights = append(nights, noon.AddDate(0, 0, day).Add(-12*time.Hour))
		}
	}
	return rapid.SampledFrom(nights).Draw(t, "night")
}

// start builds the service and serves it to the client, in memory, and to the venue, by TCP.
func (m *clientMachine) start(t *rapid.T) {
	s, err := build(context.Background(), settings(m.t, m.settings...), zerolog.New(m.log))
	require.NoError(t, err)
	inMemory := bufconn.Listen(1 << 20)
	overTCP, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	for _, listener := range []net.Listener{inMemory, overTCP} {
		go func() { _ = s.grpc.Serve(listener) }()
	}
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return inMemory.DialContext(ctx) }))
	require.NoError(t, err)
	require.NoError(t, m.venue.SetBookingAddr(overTCP.Addr().String()))
	m.service, m.bookings = s, bookingpb.NewBookingServiceClient(conn)
	m.stop = func() {
		_ = conn.Close()
		s.grpc.Stop()
		s.close()
	}
}

func (m *clientMachine) restart(t *rapid.T) {
	m.stop()
	m.start(t)
}

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
	require.WithinRange(t, time.Unix(got.CreatedAt, 0), before.Add(-2*time.Second), time.Now().Add(time.Second))
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
	require.LessOrEqual(t, got.UpdatedAt, time.Now().Unix()+1)
	b.want.UpdatedAt = got.UpdatedAt
	requireProto(t, b.want, got)
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
