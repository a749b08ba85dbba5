package config

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// specified are the names and defaults that the specification fixes.
var specified = map[string]string{
	"PORT": "50052", "METRICS_PORT": "9092",
	"POSTGRES_HOST": "localhost", "POSTGRES_PORT": "5432", "POSTGRES_DB": "booking",
	"POSTGRES_USER": "booking_user", "POSTGRES_PASSWORD": "",
	"REDIS_ADDR": "localhost:6379", "REDIS_PASSWORD": "",
	"KAFKA_BROKERS": "localhost:9092", "JAEGER_ENDPOINT": "",
	"HOLD_TTL_MINUTES": "15", "GRPC_VENUE_ADDR": "venue-svc:50051",
}

func TestDefaults(t *testing.T) {
	defaults := make(map[string]string)
	for _, s := range Settings() {
		require.NotEmpty(t, s.Meaning, s.Name)
		require.NotContains(t, defaults, s.Name, "listed twice")
		defaults[s.Name] = s.Default
	}
	for name, want := range specified {
		require.Contains(t, defaults, name)
		require.Equal(t, want, defaults[name], name)
	}

	cfg, err := Load(nil)
	require.NoError(t, err)
	require.Equal(t, &Config{
		Env: Production, LogLevel: zerolog.InfoLevel, Port: 50052, MetricsPort: 9092,
		PostgresHost: "localhost", PostgresPort: 5432, PostgresDB: "booking", PostgresUser: "booking_user",
		PostgresSSLMode: "prefer", PostgresMaxConns: 16, PostgresPooler: "none",
		RedisAddr:    []string{"localhost:6379"},
		KafkaBrokers: []string{"localhost:9092"}, KafkaTopicPartitions: 12, KafkaTopicReplication: -1, KafkaSASL: "none",
		GRPCVenueAddr: "venue-svc:50051", VenueTimeout: 2 * time.Second, VenueCacheTTL: 5 * time.Minute,
		HoldTTLMinutes: 15, MaxAdvanceDays: 731, ExpiryInterval: time.Second, OutboxRetention: 24 * time.Hour, OutboxRetryAfter: 10 * time.Second,
		IdempotencyRetention: 24 * time.Hour, SlowCall: time.Second, SlowQuery: 500 * time.Millisecond,
		MaxRequestBytes: 4 << 20,
		RequestTimeout:  5 * time.Second, StartupTimeout: 30 * time.Second, ShutdownTimeout: 15 * time.Second,
		TraceRatio: 1,
	}, cfg)
	require.Equal(t, 15*time.Minute, cfg.HoldTTL())
	require.Equal(t, 731*24*time.Hour, cfg.MaxAdvance())
}

func TestLoadTakesWhatIsSet(t *testing.T) {
	cfg, err := Load([]string{
		"ENV=development", "LOG_LEVEL=debug", "PORT=1", "METRICS_PORT=65535",
		"POSTGRES_PASSWORD=a=b ", "REDIS_ADDR=a:1, b:2", "REDIS_MASTER=mymaster",
		"KAFKA_BROKERS=[::1]:9092", "KAFKA_TOPIC_REPLICATION=3", "EXPIRY_INTERVAL=250ms",
		"OUTBOX_RETENTION=1h", "IDEMPOTENCY_RETENTION=48h", "GUEST_DATA_RETENTION=48h",
		"SLOW_CALL=0", "SLOW_QUERY=20ms",
		"OTEL_TRACES_SAMPLER_ARG=0.25", "JAEGER_ENDPOINT=http://jaeger:14268/api/traces",
		"HOLD_TTL_MINUTES=", // empty: the default
		"NOT_OURS=x",
	})
	require.NoError(t, err)
	require.Equal(t, Development, cfg.Env)
	require.Equal(t, zerolog.DebugLevel, cfg.LogLevel)
	require.Equal(t, 1, cfg.Port)
	require.Equal(t, 65535, cfg.MetricsPort)
	require.Equal(t, Secret("a=b "), cfg.PostgresPassword, "a password is taken as it is")
	require.Equal(t, []string{"a:1", "b:2"}, cfg.RedisAddr)
	require.Equal(t, "mymaster", cfg.RedisMaster)
	require.Equal(t, []string{"[::1]:9092"}, cfg.KafkaBrokers)
	require.Equal(t, 3, cfg.KafkaTopicReplication)
	require.Equal(t, 250*time.Millisecond, cfg.ExpiryInterval)
	require.Equal(t, time.Hour, cfg.OutboxRetention)
	require.Equal(t, 48*time.Hour, cfg.IdempotencyRetention)
	require.Equal(t, 48*time.Hour, cfg.GuestDataRetention)
	require.Zero(t, cfg.SlowCall)
	require.Equal(t, 20*time.Millisecond, cfg.SlowQuery)
	require.InDelta(t, 0.25, cfg.TraceRatio, 0)
	require.Equal(t, "http://jaeger:14268/api/traces", cfg.JaegerEndpoint)
	require.Equal(t, 15, cfg.HoldTTLMinutes)
}

func TestWrongValuesAreRefused(t *testing.T) {
	for _, entry := range []string{
		"ENV=staging", "ENV=Development", "LOG_LEVEL=loud", "LOG_LEVEL=disabled",
		"PORT=0", "PORT=65536", "PORT=-1", "PORT=x", "PORT=80 ", "PORT=50052.0", "PORT=99999999999999999999",
		"METRICS_PORT=0", "METRICS_PORT=50052",
		"POSTGRES_HOST= db", "POSTGRES_DB=a\nb", "POSTGRES_PORT=70000", "POSTGRES_SSLMODE=on",
		"POSTGRES_MAX_CONNS=1", "POSTGRES_MAX_CONNS=1001",
		"REDIS_ADDR=localhost", "REDIS_ADDR=a:1,", "REDIS_ADDR=:6379", "REDIS_ADDR=redis://a:1", "REDIS_ADDR=a:0",
		"KAFKA_BROKERS=a:b", "KAFKA_BROKERS=a:9092;b:9092", "KAFKA_TOPIC_PARTITIONS=0", "KAFKA_TOPIC_REPLICATION=-2",
		"GRPC_VENUE_ADDR=venue-svc", "VENUE_TIMEOUT=2", "VENUE_TIMEOUT=0s", "VENUE_TIMEOUT=5s", "VENUE_CACHE_TTL=-1m",
		"HOLD_TTL_MINUTES=0", "HOLD_TTL_MINUTES=15m", "MAX_ADVANCE_DAYS=0", "EXPIRY_INTERVAL=1ns", "OUTBOX_RETENTION=1s",
		"IDEMPOTENCY_RETENTION=1s", "IDEMPOTENCY_RETENTION=366d",
		"GUEST_DATA_RETENTION=23h", "GUEST_DATA_RETENTION=-1h", "GUEST_DATA_RETENTION=90d", "GUEST_DATA_RETENTION=off",
		"SLOW_CALL=-1s", "SLOW_CALL=1ns", "SLOW_CALL=soon", "SLOW_QUERY=500",
		"REQUEST_TIMEOUT=1h", "STARTUP_TIMEOUT=0", "SHUTDOWN_TIMEOUT=never",
		"OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT=http://",
		"OTEL_TRACES_SAMPLER_ARG=1.1", "OTEL_TRACES_SAMPLER_ARG=NaN",
		"JAEGER_ENDPOINT=jaeger:14268", "JAEGER_ENDPOINT=http://user:word@jaeger:14268",
		"GRPC_TLS_CERT_FILE=/not/there", "POSTGRES_PASSWORD_FILE=/not/there", "REDIS_PASSWORD_FILE=/dev/null",
		"REDIS_TLS=yes", "KAFKA_SASL_MECHANISM=plain",
		"AUTH_CERT_CALLERS=a", "AUTH_CERT_CALLERS=a=read,a=book", "AUTH_CERT_CALLERS=a=read+write", "AUTH_CERT_CALLERS==read",
		"RATE_LIMIT=-1", "MAX_REQUEST_BYTES=1",
	} {
		t.Run(entry, func(t *testing.T) {
			cfg, err := Load([]string{entry})
			require.Nil(t, cfg)
			var wrong *Error
			require.ErrorAs(t, err, &wrong)
			require.Len(t, wrong.Problems, 1)
			name, _, _ := strings.Cut(entry, "=")
			require.True(t, strings.HasPrefix(wrong.Problems[0], name+" must "), wrong.Problems[0])
		})
	}
}

func TestAllWrongValuesAreNamedAtOnce(t *testing.T) {
	_, err := Load([]string{"PORT=x", "HOLD_TTL_MINUTES=soon", "POSTGRES_SSLMODE=maybe"})
	var wrong *Error
	require.ErrorAs(t, err, &wrong)
	require.Len(t, wrong.Problems, 3)
	for _, name := range []string{"PORT", "HOLD_TTL_MINUTES", "POSTGRES_SSLMODE"} {
		require.ErrorContains(t, err, name)
	}
	require.NotContains(t, err.Error(), "\n")
}

// No way of printing the settings shows a password, nor does an error about an address that is
// written as a URL.
func TestPasswordsAreNeverPrinted(t *testing.T) {
	const password = "correct-horse"
	cfg, err := Load([]string{"POSTGRES_PASSWORD=" + password, "REDIS_PASSWORD=" + password})
	require.NoError(t, err)
	asJSON, err := json.Marshal(cfg)
	require.NoError(t, err)
	var logged strings.Builder
	logger := zerolog.New(&logged)
	logger.Info().Interface("cfg", cfg).Send()
	for _, printed := range []string{
		fmt.Sprintf("%v", cfg), fmt.Sprintf("%+v", *cfg), fmt.Sprintf("%#v", cfg), fmt.Sprint(cfg.RedisPassword),
		fmt.Sprintf("%q", cfg.RedisPassword), fmt.Sprintf("%x", cfg.RedisPassword), string(asJSON), logged.String(),
	} {
		require.NotContains(t, printed, password)
		require.NotContains(t, printed, fmt.Sprintf("%x", password))
	}

	_, err = Load([]string{
		"REDIS_ADDR=redis://:" + password + "@host", "KAFKA_BROKERS=" + password,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:" + password + "@host",
	})
	require.Error(t, err)
	require.NotContains(t, err.Error(), password)
}

// .env.example lists every variable with its default and meaning, and nothing else.
func TestEnvExampleAgrees(t *testing.T) {
	data, err := os.ReadFile("../../.env.example")
	require.NoError(t, err)
	var found []Setting
	var comment string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			found = append(found, Setting{Name: name, Default: value, Meaning: comment})
		}
		comment = strings.TrimPrefix(line, "# ")
	}
	settings := Settings()
	for i := range settings {
		settings[i].Values = ""
	}
	require.Equal(t, settings, found)
}
