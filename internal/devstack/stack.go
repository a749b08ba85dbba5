package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// User, password and database of the stack's PostgreSQL, which only this machine reaches.
const (
	PostgresUser     = "booking_user"
	PostgresPassword = "booking_pass"
	PostgresDatabase = "booking"
)

// Ports of the stack unless others are chosen, away from those of servers that are often there.
const (
	DefaultPostgresPort = 25432
	DefaultRedisPort    = 25379
	DefaultKafkaPort    = 25092
	DefaultVenuePort    = 25051
)

// Ports are those of the neighbours, on 127.0.0.1.
type Ports struct {
	Postgres, Redis, Kafka, Venue int
}

// Stack is the running neighbours of the booking service.
type Stack struct {
	Postgres *Postgres
	Redis    *Redis
	Kafka    *Kafka
	Venue    *Venue
}

// Start starts PostgreSQL, Redis, Kafka and the demo venue, which calls back the booking service at
// bookingAddr. progress is told what takes long. See StartPostgres for what a program has to do.
func Start(ctx context.Context, d *Data, p Ports, bookingAddr string, progress func(string)) (*Stack, error) {
	s := &Stack{}
	if err := s.start(ctx, d, p, bookingAddr, progress); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, d *Data, p Ports, bookingAddr string, progress func(string)) (err error) {
	if s.Redis, err = StartRedis(p.Redis); err != nil {
		return err
	}
	if s.Kafka, err = StartKafka(filepath.Join(d.Dir, kafkaName), p.Kafka); err != nil {
		return err
	}
	s.Venue, err = NewVenue(VenueOptions{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Venue)), BookingAddr: bookingAddr,
	})
	if err != nil {
		return err
	}
	s.Postgres, err = StartPostgres(ctx, PostgresOptions{
		Dir: d.Dir, Port: p.Postgres, User: PostgresUser, Password: PostgresPassword,
		Database: PostgresDatabase, Progress: progress,
	})
	return err
}

// Stop stops what was started.
func (s *Stack) Stop() error {
	if s.Venue != nil {
		s.Venue.Stop()
	}
	if s.Kafka != nil {
		s.Kafka.Stop()
	}
	if s.Redis != nil {
		s.Redis.Stop()
	}
	if s.Postgres != nil {
		return s.Postgres.Stop()
	}
	return nil
}

// PortUse is what a port is wanted for.
type PortUse struct {
	Port int
	// For names the server.
	For string
	// Option is how to choose another port, as --redis-port.
	Option string
	// Everywhere says that the port is wanted on all interfaces, not only on 127.0.0.1.
	Everywhere bool
}

// CheckPorts answers an error that names every port that is in use or wanted twice, and how to
// choose another.
func CheckPorts(uses []PortUse) error {
	var problems []string
	wanted := make(map[int]PortUse)
	for _, u := range uses {
		if other, ok := wanted[u.Port]; ok {
			problems = append(problems, fmt.Sprintf("port %d is wanted for %s and for %s: choose another with %s or %s",
				u.Port, other.For, u.For, other.Option, u.Option))
			continue
		}
		wanted[u.Port] = u
		host := "127.0.0.1"
		if u.Everywhere {
			host = ""
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(u.Port))) //nolint:noctx // binds at once
		if err != nil {
			problems = append(problems, fmt.Sprintf("port %d, wanted for %s, cannot be used (%v): choose another with %s",
				u.Port, u.For, cause(err), u.Option))
			continue
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// cause answers the system's error alone: "address already in use".
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
