//go:build integration

package app

import (
	"context"
	"flag"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"pgregory.net/rapid"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
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
