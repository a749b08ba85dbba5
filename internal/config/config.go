// Package config reads the service's settings from the environment.
//
//go:generate go run ./doc -groups ../../.env.example -out ../../docs/configuration.md
package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Values of ENV, POSTGRES_POOLER and KAFKA_SASL_MECHANISM.
const (
	Development = "development"
	Production  = "production"

	PoolerNone        = "none"
	PoolerTransaction = "transaction"

	SASLNone  = "none"
	SASLPlain = "PLAIN"
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
	// GRPCCertFile and GRPCKeyFile are the server's certificate, empty for plaintext; GRPCClientCAFile are the
	// authorities of those that clients must show, empty if they need none. All are paths of PEM files.
	GRPCCertFile, GRPCKeyFile, GRPCClientCAFile string
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
	// PostgresRootCert is the path of a PEM file, empty for the system's authorities.
	PostgresRootCert string
	PostgresMaxConns int
	// PostgresPooler is PoolerNone or PoolerTransaction.
	PostgresPooler string

	// RedisAddr has one address, those of a cluster, or those of the sentinels of RedisMaster.
	RedisAddr     []string
	RedisUser     string
	RedisPassword Secret
	RedisMaster   string
	// RedisCluster says that RedisAddr is a cluster even if it is one address.
	RedisCluster bool
	RedisTLS     bool
	// RedisCAFile is the path of a PEM file, empty for the system's authorities; so are the others of that name.
	RedisCAFile string

	KafkaBrokers          []string
	KafkaTopicPartitions  int
	KafkaTopicReplication int
	KafkaTLS              bool
	KafkaCAFile           string
	// KafkaSASL is the mechanism, SASLNone for none.
	KafkaSASL     string
	KafkaUser     string
	KafkaPassword Secret

	// GRPCVenueAddr is the venue service's address, host:port.
	GRPCVenueAddr string
	VenueTLS      bool
	VenueCAFile   string
	// VenueCertFile and VenueKeyFile are what is shown to the venue service, empty for nothing.
	VenueCertFile, VenueKeyFile string
	VenueTimeout                time.Duration
	VenueCacheTTL               time.Duration

	HoldTTLMinutes  int
	MaxAdvanceDays  int
	ExpiryInterval  time.Duration
	OutboxRetention time.Duration
	// OutboxRetryAfter is the wait before the first retry of an event that Kafka refused.
	OutboxRetryAfter     time.Duration
	IdempotencyRetention time.Duration
	// GuestDataRetention is how long an ended booking keeps what its guest told; 0: for ever.
	GuestDataRetention time.Duration

	// CertCallers are the permissions (read, book, operate) of callers by the name in their certificate.
	CertCallers map[string][]string
	// JWTSecret or JWKSFile, a path, checks bearer tokens; both are empty if there are none.
	JWTSecret              Secret
	JWKSFile               string
	JWTIssuer, JWTAudience string

	// RateLimit is in calls a second for each caller, RateBurst in calls; 0 is no limit here and below.
	RateLimit, RateBurst int
	// MaxCalls and MaxAvailabilityCalls are served at a time, MaxStreams on each connection.
	MaxCalls, MaxAvailabilityCalls int
	MaxRequestBytes                int
	MaxConnections, MaxStreams     int

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
	// What does not fit together is only said of settings that are right by themselves.
	for _, c := range cfg.contradictions() {
		if !slices.ContainsFunc(c.of, func(name string) bool { return wrong[name] }) {
			problems = append(problems, c.problem)
		}
	}
	if len(problems) > 0 {
		return nil, &Error{problems}
	}
	return cfg, nil
}
