package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

// The one venue: two tables of two, two of four that can be joined, on which clients collide, and
// tables of their own for the clients that measure speed.
const (
	venueID  = "faults"
	database = "booking"
)

var (
	contested = []string{"c1", "c2", "j1", "j2"}
	// partner is the table that a party of jointParty needs as well.
	partner = map[string]string{"j1": "j2", "j2": "j1"}
	probes  = []string{"p1", "p2", "p3", "p4"}
)

const jointParty = 8

func place() devstack.Place {
	p := devstack.Place{ID: venueID, Name: "Faults", TimeZone: "Europe/Berlin"}
	for _, id := range append(append([]string{}, contested...), probes...) {
		t := devstack.Table{ID: id, RoomID: "room-" + id[:1], Name: id, Capacity: 2}
		if id[0] == 'j' {
			t.Capacity, t.CanMerge = 4, true
		}
		p.Tables = append(p.Tables, t)
	}
	return p
}

// cluster is three replicas and all their neighbours, each as a process, behind proxies.
type cluster struct {
	dir                    string
	binary                 string
	postgres, redis, kafka *process.Server
	toPostgres, toRedis    *proxy
	toKafka, toVenue       *proxy
	venue                  *devstack.Venue
	callback               *callback
	routing
	// kafkaAddr, redisAddr and db lead past the proxies.
	kafkaAddr, redisAddr string
	db                   *pgxpool.Pool
}

// newCluster starts all of it in dir. What was started is stopped by stop, also after an error.
func newCluster(p programs, dir string) (c *cluster, err error) {
	c = &cluster{dir: dir, binary: filepath.Join(dir, "booking-svc")}
	// The test build can set a replica's clock ahead.
	build := exec.Command("go", "build", "-tags=faultclock", "-o", c.binary, "./cmd/booking-svc") //nolint:noctx // the harness's own
	if out, err := build.CombinedOutput(); err != nil {
		return c, fmt.Errorf("go build: %w\n%s", err, out)
	}
	var ports [9]int
	for i := range ports {
		if ports[i], err = process.FreePort(); err != nil {
			return c, err
		}
	}
	kafka := kafkaPorts{service: ports[0], proxied: ports[1], direct: ports[2], controller: ports[3]}
	pg, pgProxied, redisPort, redisProxied, venueProxied := ports[4], ports[5], ports[6], ports[7], ports[8]
	c.kafkaAddr, c.redisAddr = process.Address(kafka.direct), process.Address(redisPort)

	if c.postgres, err = newPostgres(p, dir, pg, c.log("postgres")); err != nil {
		return c, err
	}
	if c.redis, err = newRedis(dir, redisPort, c.log("redis")); err != nil {
		return c, err
	}
	if c.kafka, err = newKafka(p, dir, kafka, c.log("kafka")); err != nil {
		return c, err
	}
	if c.toPostgres, err = newProxy("postgres", pgProxied, pg); err != nil {
		return c, err
	}
	if c.toRedis, err = newProxy("redis", redisProxied, redisPort); err != nil {
		return c, err
	}
	if c.toKafka, err = newProxy("kafka", kafka.proxied, kafka.service); err != nil {
		return c, err
	}
	environ := []string{
		"ENV=production", "LOG_LEVEL=info", "PATH=" + os.Getenv("PATH"),
		"POSTGRES_HOST=127.0.0.1", fmt.Sprintf("POSTGRES_PORT=%d", pgProxied), "POSTGRES_DB=" + database,
		"POSTGRES_USER=" + postgresUser, "POSTGRES_SSLMODE=disable",
		"REDIS_ADDR=" + process.Address(redisProxied), "KAFKA_BROKERS=" + process.Address(kafka.proxied),
		"GRPC_VENUE_ADDR=" + process.Address(venueProxied),
		fmt.Sprintf("HOLD_TTL_MINUTES=%d", int(holdTTL.Minutes())), "REQUEST_TIMEOUT=" + requestTimeout.String(),
	}
	if err := c.createDatabase(pg, environ); err != nil {
		return c, err
	}
	for i := range 3 {
		r, err := newReplica(c.binary, i, environ, c.log(fmt.Sprintf("replica-%d", i)))
		if err != nil {
			return c, err
		}
		c.replicas = append(c.replicas, r)
	}
	if err := c.startVenue(venueProxied); err != nil {
		return c, err
	}
	for _, r := range c.replicas {
		if err := r.Start(); err != nil {
			return c, err
		}
		if r.freshGoroutines, err = r.goroutines(context.Background()); err != nil {
			return c, err
		}
	}
	return c, nil
}

// log opens the file that a process writes to.
func (c *cluster) log(name string) *os.File {
	f, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err) // the directory was made a moment ago
	}
	return f
}

func (c *cluster) createDatabase(port int, environ []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, postgresURL(port, postgresUser))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+database)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	migrate := exec.CommandContext(ctx, c.binary, "migrate", "up")
	migrate.Env = append(environ, "BOOKING_CLOCK_AHEAD=0s")
	if out, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate up: %w\n%s", err, out)
	}
	cfg, err := pgxpool.ParseConfig(postgresURL(port, database))
	if err != nil {
		return err
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = "faults"
	c.db, err = pgxpool.NewWithConfig(context.Background(), cfg)
	return err
}

// startVenue starts the demo venue, which calls back through the load balancer.
func (c *cluster) startVenue(proxied int) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds at once
	if err != nil {
		return err
	}
	c.callback = &callback{routing: c.routing, server: grpc.NewServer()}
	bookingpb.RegisterBookingServiceServer(c.callback.server, c.callback)
	go func() { _ = c.callback.server.Serve(listener) }() // ends with stop
	c.venue, err = devstack.NewVenue(devstack.VenueOptions{
		BookingAddr: listener.Addr().String(), Places: []devstack.Place{place()},
	})
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(c.venue.Addr())
	if err != nil {
		return err
	}
	upstream, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	c.toVenue, err = newProxy("venue", proxied, upstream)
	return err
}

// allReady waits until every replica is ready.
func (c *cluster) allReady() error {
	for _, r := range c.replicas {
		if err := r.AwaitReady(); err != nil {
			return err
		}
	}
	return nil
}

// redisClient leads to Redis past the proxy. The caller closes it.
func (c *cluster) redisClient() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: c.redisAddr, MaxRetries: 5, MinRetryBackoff: 100 * time.Millisecond})
}

// stop ends every process that was started.
func (c *cluster) stop() {
	for _, r := range c.replicas {
		r.Stop()
		_ = r.conn.Close()
	}
	for _, p := range []*proxy{c.toPostgres, c.toRedis, c.toKafka, c.toVenue} {
		if p != nil {
			p.Stop()
		}
	}
	if c.venue != nil {
		c.venue.Stop()
	}
	if c.callback != nil {
		c.callback.server.Stop()
	}
	if c.db != nil {
		c.db.Close()
	}
	for _, s := range []*process.Server{c.postgres, c.redis, c.kafka} {
		if s != nil {
			s.Stop()
		}
	}
}
