// Package config reads the service's settings from the environment.
package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Values of ENV.
const (
	Development = "development"
	Production  = "production"

	PoolerNone        = "none"
	PoolerTransaction = "transaction"
)

// Secret is a setting that is never printed: formatting it shows stars. Convert it to a string to
// use it.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from JSON and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Config holds the settings. `booking-svc --help` says what each means.
type Config struct {
	// Env is Development or Production.
	Env      string
	LogLevel zerolog.Level

	Port        int
	MetricsPort int
	// SlowCall and SlowQuery are from when on a call and a statement are logged as slow; 0: never.
	SlowCall  time.Duration
	SlowQuery time.Duration
	// Pprof serves the process's profiles on MetricsPort.
	Pprof bool

	PostgresHost     string
	PostgresPort     int
	PostgresDB       string
	PostgresUser     string
	PostgresPassword Secret
	PostgresSSLMode  string
	PostgresMaxConns int
	// PostgresPooler is PoolerNone or PoolerTransaction.
	PostgresPooler string

	// RedisAddr has one address, those of a cluster, or those of the sentinels of RedisMaster.
	RedisAddr     []string
	RedisPassword Secret
	RedisMaster   string

	KafkaBrokers          []string
	KafkaTopicPartitions  int
	KafkaTopicReplication int

	// GRPCVenueAddr is the venue service's address, host:port.
	GRPCVenueAddr string
	VenueTimeout  time.Duration
	VenueCacheTTL time.Duration

	HoldTTLMinutes  int
	MaxAdvanceDays  int
	ExpiryInterval  time.Duration
	OutboxRetention time.Duration
	// OutboxRetryAfter is the wait before the first retry of an event that Kafka refused.
	OutboxRetryAfter     time.Duration
	IdempotencyRetention time.Duration
	// GuestDataRetention is how long an ended booking keeps what its guest told; 0: for ever.
	GuestDataRetention time.Duration

	RequestTimeout  time.Duration
	StartupTimeout  time.Duration
	ShutdownTimeout time.Duration

	// JaegerEndpoint is the collector's URL in the old way; OTLPEndpoint goes before it.
	JaegerEndpoint string
	OTLPEndpoint   string
	// TraceRatio is the part of the traces begun here that are exported, 0 to 1.
	TraceRatio float64
}

// HoldTTL is how long a hold lasts.
func (c *Config) HoldTTL() time.Duration { return time.Duration(c.HoldTTLMinutes) * time.Minute }

// MaxAdvance is how far ahead a booking may start.
func (c *Config) MaxAdvance() time.Duration { return time.Duration(c.MaxAdvanceDays) * 24 * time.Hour }

// Error lists every wrong setting.
type Error struct {
	// Problems name the variable each.
	Problems []string
}

func (e *Error) Error() string { return "wrong settings: " + strings.Join(e.Problems, "; ") }

// Load reads the settings from environ, a list of `NAME=value`. A variable that is not there or
// empty has its default; other values are taken or refused.
//
// Errors: *Error, with all wrong settings at once.
func Load(environ []string) (*Config, error) {
	values := make(map[string]string, len(environ))
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	cfg := &Config{}
	problems := make([]string, 0)
	wrong := make(map[string]bool)
	for _, s := range cfg.settings() {
		value := values[s.name]
		if value == "" {
			value = s.def
		}
		if err := s.set(value); err != nil {
			problems = append(problems, fmt.Sprintf("%s %v", s.name, err))
			wrong[s.name] = true
		}
	}
	if !wrong["PORT"] && !wrong["METRICS_PORT"] && cfg.Port == cfg.MetricsPort {
		problems = append(problems, "METRICS_PORT must differ from PORT")
	}
	if !wrong["VENUE_TIMEOUT"] && !wrong["REQUEST_TIMEOUT"] && cfg.VenueTimeout >= cfg.RequestTimeout {
		problems = append(problems, "VENUE_TIMEOUT must be shorter than REQUEST_TIMEOUT")
	}
	// A key that still answers its booking must find the request that made it.
	if !wrong["GUEST_DATA_RETENTION"] && !wrong["IDEMPOTENCY_RETENTION"] &&
		cfg.GuestDataRetention > 0 && cfg.GuestDataRetention < cfg.IdempotencyRetention {
		problems = append(problems, "GUEST_DATA_RETENTION must be 0 or not shorter than IDEMPOTENCY_RETENTION")
	}
	if len(problems) > 0 {
		return nil, &Error{problems}
	}
	return cfg, nil
}
