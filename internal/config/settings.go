package config

import (
	"strings"
	"time"
)

// Setting describes a variable of the environment.
type Setting struct {
	Name    string
	Default string
	Meaning string
	// Values says what a value has to be, as the error about a wrong one does; empty when anything is taken.
	Values string
}

// Settings lists every variable that Load reads, in the order in which they are best read.
func Settings() []Setting {
	all := (&Config{}).settings()
	list := make([]Setting, len(all))
	for i, s := range all {
		list[i] = Setting{s.name, s.def, s.meaning, s.values()}
	}
	return list
}

type setting struct {
	name, def, meaning string
	// set parses a value; its error goes on after the name: "must be …".
	set func(value string) error
}

// values asks the setting itself what it takes, by a value that none of them takes but a secret.
func (s setting) values() string {
	err := s.set("\x00")
	if err == nil {
		return ""
	}
	rule, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "must be "), ", not \"")
	return rule
}

const day = 24 * time.Hour

// settings is the only list of the variables: Load, --help and the test of .env.example use it.
func (c *Config) settings() []setting {
	return []setting{
		{"ENV", "production", "production: logs as JSON; development: logs for people", oneOf(&c.Env, Development, Production)},
		{"LOG_LEVEL", "info", "least level that is logged: debug, info, warn, error; changed while running by PUT /log-level on METRICS_PORT", level(&c.LogLevel)},
		{"PORT", "50052", "port of the gRPC server", integer(&c.Port, 1, 65535)},
		{"GRPC_TLS_CERT_FILE", "", "certificate of the gRPC server with its chain, PEM, read again when it changes; empty: plaintext", file(&c.GRPCCertFile)},
		{"GRPC_TLS_KEY_FILE", "", "key of that certificate, PEM", file(&c.GRPCKeyFile)},
		{"GRPC_TLS_CLIENT_CA_FILE", "", "authorities of clients' certificates, PEM: every client must show one; empty: none is asked for", file(&c.GRPCClientCAFile)},
		{"METRICS_PORT", "9092", "port of /metrics, /healthz, /readyz and /log-level", integer(&c.MetricsPort, 1, 65535)},
		{"SLOW_CALL", "1s", "a gRPC call that takes at least this long is logged as a warning; 0: none is", durationOrZero(&c.SlowCall, time.Millisecond, time.Hour)},
		{"SLOW_QUERY", "500ms", "the same for a statement in PostgreSQL", durationOrZero(&c.SlowQuery, time.Millisecond, time.Hour)},
		{"PPROF", "off", "on: /debug/pprof/ on METRICS_PORT, with profiles of the running process; off: not there", onOff(&c.Pprof)},

		{"POSTGRES_HOST", "localhost", "host of PostgreSQL, or the directory of its socket", text(&c.PostgresHost)},
		{"POSTGRES_PORT", "5432", "port of PostgreSQL", integer(&c.PostgresPort, 1, 65535)},
		{"POSTGRES_DB", "booking", "name of the database", text(&c.PostgresDB)},
		{"POSTGRES_USER", "booking_user", "user of the database", text(&c.PostgresUser)},
		{"POSTGRES_PASSWORD", "", "password of that user", secret(&c.PostgresPassword)},
		{"POSTGRES_PASSWORD_FILE", "", "file with that password, instead of POSTGRES_PASSWORD", secretFile(&c.PostgresPassword, "POSTGRES_PASSWORD")},
		{"POSTGRES_SSLMODE", "prefer", "disable, allow, prefer, require, verify-ca or verify-full", oneOf(&c.PostgresSSLMode, "disable", "allow", "prefer", "require", "verify-ca", "verify-full")},
		{"POSTGRES_SSLROOTCERT", "", "authorities of PostgreSQL's certificate, PEM; empty: the system's", file(&c.PostgresRootCert)},
		{"POSTGRES_MAX_CONNS", "16", "most connections to PostgreSQL; a quarter of them, at most 4, are kept for the relay and for health", integer(&c.PostgresMaxConns, 4, 1000)},
		{"POSTGRES_POOLER", "none", "transaction: POSTGRES_HOST is a pooler in transaction mode, as pgbouncer (docs/scaling.md); migrations go past it", oneOf(&c.PostgresPooler, PoolerNone, PoolerTransaction)},

		{"REDIS_ADDR", "localhost:6379", "address of Redis, host:port; several with commas: a cluster, or sentinels", addresses(&c.RedisAddr)},
		{"REDIS_USER", "", "user of Redis (ACL); empty: its default user", text(&c.RedisUser)},
		{"REDIS_PASSWORD", "", "password of Redis", secret(&c.RedisPassword)},
		{"REDIS_PASSWORD_FILE", "", "file with that password, instead of REDIS_PASSWORD", secretFile(&c.RedisPassword, "REDIS_PASSWORD")},
		{"REDIS_MASTER", "", "name of the master that the sentinels watch; empty: no sentinels", text(&c.RedisMaster)},
		{"REDIS_CLUSTER", "off", "on: REDIS_ADDR is a cluster, also if it is one address", onOff(&c.RedisCluster)},
		{"REDIS_TLS", "off", "on: TLS to Redis and its sentinels", onOff(&c.RedisTLS)},
		{"REDIS_TLS_CA_FILE", "", "authorities of their certificates, PEM; empty: the system's", file(&c.RedisCAFile)},

		{"KAFKA_BROKERS", "localhost:9092", "brokers to begin with, host:port, with commas", addresses(&c.KafkaBrokers)},
		{"KAFKA_TOPIC_PARTITIONS", "12", "partitions of topics that this service creates; -1: the broker's default", countOrDefault(&c.KafkaTopicPartitions, 10000)},
		{"KAFKA_TOPIC_REPLICATION", "-1", "replicas of topics that this service creates; -1: the broker's default", countOrDefault(&c.KafkaTopicReplication, 100)},

		{"KAFKA_TLS", "off", "on: TLS to the brokers", onOff(&c.KafkaTLS)},
		{"KAFKA_TLS_CA_FILE", "", "authorities of their certificates, PEM; empty: the system's", file(&c.KafkaCAFile)},
		{"KAFKA_SASL_MECHANISM", "none", "how the service proves to the brokers who it is: none, PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", oneOf(&c.KafkaSASL, SASLNone, SASLPlain, "SCRAM-SHA-256", "SCRAM-SHA-512")},
		{"KAFKA_SASL_USER", "", "user for that", text(&c.KafkaUser)},
		{"KAFKA_SASL_PASSWORD", "", "password of that user", secret(&c.KafkaPassword)},
		{"KAFKA_SASL_PASSWORD_FILE", "", "file with that password, instead of KAFKA_SASL_PASSWORD", secretFile(&c.KafkaPassword, "KAFKA_SASL_PASSWORD")},

		{"GRPC_VENUE_ADDR", "venue-svc:50051", "address of the venue service, host:port", address(&c.GRPCVenueAddr)},
		{"GRPC_VENUE_TLS", "off", "on: TLS to the venue service", onOff(&c.VenueTLS)},
		{"GRPC_VENUE_TLS_CA_FILE", "", "authorities of its certificate, PEM; empty: the system's", file(&c.VenueCAFile)},
		{"GRPC_VENUE_TLS_CERT_FILE", "", "certificate that is shown to it, with its chain, PEM, read again when it changes; empty: none", file(&c.VenueCertFile)},
		{"GRPC_VENUE_TLS_KEY_FILE", "", "key of that certificate, PEM", file(&c.VenueKeyFile)},
		{"VENUE_TIMEOUT", "2s", "limit of a call to the venue service; shorter than REQUEST_TIMEOUT", duration(&c.VenueTimeout, 10*time.Millisecond, time.Minute)},
		{"VENUE_CACHE_TTL", "5m", "how long a venue's time zone is kept", duration(&c.VenueCacheTTL, time.Second, day)},

		{"HOLD_TTL_MINUTES", "15", "how long a hold waits for its confirmation, in minutes", integer(&c.HoldTTLMinutes, 1, 1440)},
		{"MAX_ADVANCE_DAYS", "731", "how far ahead a booking may start, in days", integer(&c.MaxAdvanceDays, 1, 3650)},
		{"EXPIRY_INTERVAL", "1s", "time between two searches for overdue holds", duration(&c.ExpiryInterval, 100*time.Millisecond, time.Minute)},
		{"OUTBOX_RETENTION", "24h", "how long sent events are kept in the outbox", duration(&c.OutboxRetention, time.Minute, 365*day)},
		{"OUTBOX_RETRY_AFTER", "10s", "wait before an event that Kafka refused is tried again, doubled each time; after three retries it is given up", duration(&c.OutboxRetryAfter, 100*time.Millisecond, time.Hour)},
		{"IDEMPOTENCY_RETENTION", "24h", "how long an idempotency key answers its booking", duration(&c.IdempotencyRetention, time.Minute, 365*day)},
		{"GUEST_DATA_RETENTION", "0", "how long after a booking has ended its guest's name, phone and comment are kept, as 2160h (docs/guest-data.md); 0: for ever", durationOrZero(&c.GuestDataRetention, time.Hour, 3650*day)},

		{"AUTH_CERT_CALLERS", "", "what callers with a client certificate may do, as admin-gateway=read+book+operate,venue-svc=read; empty: with AUTH_JWT_… nothing, else everything", callers(&c.CertCallers)},
		{"AUTH_JWT_SECRET", "", "secret that signs bearer tokens (HMAC), at least 32 bytes; empty: none are signed so", secret(&c.JWTSecret)},
		{"AUTH_JWT_SECRET_FILE", "", "file with that secret, instead of AUTH_JWT_SECRET", secretFile(&c.JWTSecret, "AUTH_JWT_SECRET")},
		{"AUTH_JWKS_FILE", "", "public keys that sign bearer tokens, a JSON Web Key Set, read again when it changes", file(&c.JWKSFile)},
		{"AUTH_JWT_ISSUER", "", "issuer that tokens must name", text(&c.JWTIssuer)},
		{"AUTH_JWT_AUDIENCE", "", "audience that tokens must name", text(&c.JWTAudience)},

		{"RATE_LIMIT", "0", "calls a second that one caller may make; 0: no limit", integer(&c.RateLimit, 0, 1_000_000)},
		{"RATE_BURST", "0", "calls that it may make at once; 0: as many as RATE_LIMIT", integer(&c.RateBurst, 0, 1_000_000)},
		{"MAX_CALLS", "0", "calls that are served at a time, but for CheckTableAvailability; more are refused; 0: no limit", integer(&c.MaxCalls, 0, 1_000_000)},
		{"MAX_AVAILABILITY_CALLS", "0", "calls of CheckTableAvailability that are served at a time; 0: no limit", integer(&c.MaxAvailabilityCalls, 0, 1_000_000)},
		{"MAX_REQUEST_BYTES", "4194304", "size of the largest request", integer(&c.MaxRequestBytes, 65536, 64<<20)},
		{"MAX_CONNECTIONS", "0", "connections to the gRPC server at a time; more are closed at once; 0: no limit", integer(&c.MaxConnections, 0, 1_000_000)},
		{"MAX_STREAMS", "0", "calls at a time on one connection; a client waits with more; 0: no limit", integer(&c.MaxStreams, 0, 1_000_000)},

		{"REQUEST_TIMEOUT", "5s", "limit of a gRPC call, also when the client gives a longer one", duration(&c.RequestTimeout, 100*time.Millisecond, 5*time.Minute)},
		{"STARTUP_TIMEOUT", "30s", "how long to wait for PostgreSQL at the start", duration(&c.StartupTimeout, time.Second, time.Hour)},
		{"SHUTDOWN_TIMEOUT", "15s", "limit of a tidy stop", duration(&c.ShutdownTimeout, time.Second, 10*time.Minute)},

		{"OTEL_EXPORTER_OTLP_ENDPOINT", "", "where traces go, OTLP over HTTP, as http://localhost:4318; empty: nowhere", endpoint(&c.OTLPEndpoint)},
		{"OTEL_TRACES_SAMPLER_ARG", "1", "part of the traces begun here that is exported, 0 to 1", ratio(&c.TraceRatio)},
		{"JAEGER_ENDPOINT", "", "Jaeger's old collector URL: OTLP on port 4318 of its host is used instead", endpoint(&c.JaegerEndpoint)},
	}
}
