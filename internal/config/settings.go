package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/logging"
)

// Setting describes a variable of the environment.
type Setting struct {
	Name    string
	Default string
	Meaning string
}

// Settings lists every variable that Load reads, in the order in which they are best read.
func Settings() []Setting {
	all := (&Config{}).settings()
	list := make([]Setting, len(all))
	for i, s := range all {
		list[i] = Setting{s.name, s.def, s.meaning}
	}
	return list
}

type setting struct {
	name, def, meaning string
	// set parses a value; its error goes on after the name: "must be …".
	set func(value string) error
}

const day = 24 * time.Hour

// settings is the only list of the variables: Load, --help and the test of .env.example use it.
func (c *Config) settings() []setting {
	return []setting{
		{"ENV", "production", "production: logs as JSON; development: logs for people", oneOf(&c.Env, Development, Production)},
		{"LOG_LEVEL", "info", "least level that is logged: debug, info, warn, error; changed while running by PUT /log-level on METRICS_PORT", level(&c.LogLevel)},
		{"PORT", "50052", "port of the gRPC server", integer(&c.Port, 1, 65535)},
		{"METRICS_PORT", "9092", "port of /metrics, /healthz, /readyz and /log-level", integer(&c.MetricsPort, 1, 65535)},
		{"SLOW_CALL", "1s", "a gRPC call that takes at least this long is logged as a warning; 0: none is", durationOrZero(&c.SlowCall, time.Millisecond, time.Hour)},
		{"SLOW_QUERY", "500ms", "the same for a statement in PostgreSQL", durationOrZero(&c.SlowQuery, time.Millisecond, time.Hour)},
		{"PPROF", "off", "on: /debug/pprof/ on METRICS_PORT, with profiles of the running process; off: not there", onOff(&c.Pprof)},

		{"POSTGRES_HOST", "localhost", "host of PostgreSQL, or the directory of its socket", text(&c.PostgresHost)},
		{"POSTGRES_PORT", "5432", "port of PostgreSQL", integer(&c.PostgresPort, 1, 65535)},
		{"POSTGRES_DB", "booking", "name of the database", text(&c.PostgresDB)},
		{"POSTGRES_USER", "booking_user", "user of the database", text(&c.PostgresUser)},
		{"POSTGRES_PASSWORD", "", "password of that user", secret(&c.PostgresPassword)},
		{"POSTGRES_SSLMODE", "prefer", "disable, allow, prefer, require, verify-ca or verify-full", oneOf(&c.PostgresSSLMode, "disable", "allow", "prefer", "require", "verify-ca", "verify-full")},
		{"POSTGRES_MAX_CONNS", "16", "most connections to PostgreSQL; a quarter of them, at most 4, are kept for the relay and for health", integer(&c.PostgresMaxConns, 4, 1000)},
		{"POSTGRES_POOLER", "none", "transaction: POSTGRES_HOST is a pooler in transaction mode, as pgbouncer (docs/scaling.md); migrations go past it", oneOf(&c.PostgresPooler, PoolerNone, PoolerTransaction)},

		{"REDIS_ADDR", "localhost:6379", "address of Redis, host:port; several with commas: a cluster, or sentinels", addresses(&c.RedisAddr)},
		{"REDIS_PASSWORD", "", "password of Redis", secret(&c.RedisPassword)},
		{"REDIS_MASTER", "", "name of the master that the sentinels watch; empty: no sentinels", text(&c.RedisMaster)},

		{"KAFKA_BROKERS", "localhost:9092", "brokers to begin with, host:port, with commas", addresses(&c.KafkaBrokers)},
		{"KAFKA_TOPIC_PARTITIONS", "12", "partitions of topics that this service creates; -1: the broker's default", countOrDefault(&c.KafkaTopicPartitions, 10000)},
		{"KAFKA_TOPIC_REPLICATION", "-1", "replicas of topics that this service creates; -1: the broker's default", countOrDefault(&c.KafkaTopicReplication, 100)},

		{"GRPC_VENUE_ADDR", "venue-svc:50051", "address of the venue service, host:port", address(&c.GRPCVenueAddr)},
		{"VENUE_TIMEOUT", "2s", "limit of a call to the venue service; shorter than REQUEST_TIMEOUT", duration(&c.VenueTimeout, 10*time.Millisecond, time.Minute)},
		{"VENUE_CACHE_TTL", "5m", "how long a venue's time zone is kept", duration(&c.VenueCacheTTL, time.Second, day)},

		{"HOLD_TTL_MINUTES", "15", "how long a hold waits for its confirmation, in minutes", integer(&c.HoldTTLMinutes, 1, 1440)},
		{"MAX_ADVANCE_DAYS", "731", "how far ahead a booking may start, in days", integer(&c.MaxAdvanceDays, 1, 3650)},
		{"EXPIRY_INTERVAL", "1s", "time between two searches for overdue holds", duration(&c.ExpiryInterval, 100*time.Millisecond, time.Minute)},
		{"OUTBOX_RETENTION", "24h", "how long sent events are kept in the outbox", duration(&c.OutboxRetention, time.Minute, 365*day)},
		{"OUTBOX_RETRY_AFTER", "10s", "wait before an event that Kafka refused is tried again, doubled each time; after three retries it is given up", duration(&c.OutboxRetryAfter, 100*time.Millisecond, time.Hour)},
		{"IDEMPOTENCY_RETENTION", "24h", "how long an idempotency key answers its booking", duration(&c.IdempotencyRetention, time.Minute, 365*day)},
		{"GUEST_DATA_RETENTION", "0", "how long after a booking has ended its guest's name, phone and comment are kept, as 2160h (docs/guest-data.md); 0: for ever", durationOrZero(&c.GuestDataRetention, time.Hour, 3650*day)},

		{"REQUEST_TIMEOUT", "5s", "limit of a gRPC call, also when the client gives a longer one", duration(&c.RequestTimeout, 100*time.Millisecond, 5*time.Minute)},
		{"STARTUP_TIMEOUT", "30s", "how long to wait for PostgreSQL at the start", duration(&c.StartupTimeout, time.Second, time.Hour)},
		{"SHUTDOWN_TIMEOUT", "15s", "limit of a tidy stop", duration(&c.ShutdownTimeout, time.Second, 10*time.Minute)},

		{"OTEL_EXPORTER_OTLP_ENDPOINT", "", "where traces go, OTLP over HTTP, as http://localhost:4318; empty: nowhere", endpoint(&c.OTLPEndpoint)},
		{"OTEL_TRACES_SAMPLER_ARG", "1", "part of the traces begun here that is exported, 0 to 1", ratio(&c.TraceRatio)},
		{"JAEGER_ENDPOINT", "", "Jaeger's old collector URL: OTLP on port 4318 of its host is used instead", endpoint(&c.JaegerEndpoint)},
	}
}

func text(to *string) func(string) error {
	return func(value string) error {
		if strings.TrimSpace(value) != value || strings.ContainsFunc(value, isControl) {
			return errors.New("must not have spaces around it, nor control characters")
		}
		*to = value
		return nil
	}
}

func secret(to *Secret) func(string) error {
	return func(value string) error {
		*to = Secret(value)
		return nil
	}
}

func oneOf(to *string, allowed ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("must be one of %s, not %q", strings.Join(allowed, ", "), value)
		}
		*to = value
		return nil
	}
}

func onOff(to *bool) func(string) error {
	return func(value string) error {
		var name string
		err := oneOf(&name, "on", "off")(value)
		*to = name == "on"
		return err
	}
}

func level(to *zerolog.Level) func(string) error {
	return func(value string) error {
		parsed, err := logging.ParseLevel(value)
		*to = parsed
		return err
	}
}

func integer(to *int, least, most int) func(string) error {
	return func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d, not %q", least, most, value)
		}
		*to = n
		return nil
	}
}

// countOrDefault takes a count, or -1, which leaves it to the broker.
func countOrDefault(to *int, most int) func(string) error {
	return func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < -1 || n == 0 || n > most {
			return fmt.Errorf("must be -1 or a whole number from 1 to %d, not %q", most, value)
		}
		*to = n
		return nil
	}
}

func duration(to *time.Duration, least, most time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < least || d > most {
			return fmt.Errorf("must be a duration from %v to %v, as 1500ms or 2m, not %q", least, most, value)
		}
		*to = d
		return nil
	}
}

// durationOrZero takes a duration, or 0, which means that there is none.
func durationOrZero(to *time.Duration, least, most time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d != 0 && (d < least || d > most) {
			return fmt.Errorf("must be 0 or a duration from %v to %v, as 1500ms or 2m, not %q", least, most, value)
		}
		*to = d
		return nil
	}
}

func ratio(to *float64) func(string) error {
	return func(value string) error {
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return fmt.Errorf("must be a number from 0 to 1, not %q", value)
		}
		*to = f
		return nil
	}
}

// address takes host:port. Its error does not repeat the value, which may be a URL with a password.
func address(to *string) func(string) error {
	return func(value string) error {
		if !isAddress(value) {
			return errors.New("must be host:port")
		}
		*to = value
		return nil
	}
}

func addresses(to *[]string) func(string) error {
	return func(value string) error {
		list := strings.Split(value, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
			if !isAddress(list[i]) {
				return errors.New("must be host:port, several with commas")
			}
		}
		*to = list
		return nil
	}
}

// endpoint takes a URL. A user and password in it are refused: the URL is logged.
func endpoint(to *string) func(string) error {
	return func(value string) error {
		if value == "" {
			return nil
		}
		u, err := url.Parse(value)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil {
			return errors.New("must be a URL, as http://localhost:4318, without user or password")
		}
		*to = value
		return nil
	}
}

func isAddress(value string) bool {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool { return r == ' ' || r == '/' || isControl(r) }) {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 1 && n <= 65535
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
