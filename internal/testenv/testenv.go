// Package testenv gives integration tests the servers that they run on. Where those are comes from
// TEST_POSTGRES_URL, TEST_REDIS_ADDR and TEST_KAFKA_BROKERS, which scripts/with-servers.sh sets; a
// test that asks for a server whose variable is unset fails, so that no run passes by skipping.
package testenv

import (
	"os"
	"strings"
	"testing"
)

// RedisAddr is the address, host:port, of a Redis that all tests share: use keys of your own, such
// as those of a new venue id, and never flush it.
func RedisAddr(t testing.TB) string {
	t.Helper()
	return variable(t, "TEST_REDIS_ADDR")
}

// KafkaBrokers are the addresses, host:port, of a Kafka cluster that all tests share: look only at
// records with keys of your own, or use topics of your own. It makes no topic by itself.
func KafkaBrokers(t testing.TB) []string {
	t.Helper()
	return strings.Split(variable(t, "TEST_KAFKA_BROKERS"), ",")
}

// SecureKafka is a listener of the same cluster that takes only TLS and a user by SASL: PLAIN, SCRAM-SHA-256
// or SCRAM-SHA-512.
type SecureKafka struct {
	// Addr is host:port, CA the path of the authority of its certificate.
	Addr, CA string
	// User may do everything.
	User, Password string
}

// KafkaWithTLS answers that listener.
func KafkaWithTLS(t testing.TB) SecureKafka {
	t.Helper()
	return SecureKafka{
		Addr: variable(t, "TEST_KAFKA_SECURE"), CA: variable(t, "TEST_KAFKA_CA"),
		User: "booking", Password: variable(t, "TEST_KAFKA_PASSWORD"),
	}
}

func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run this test with `make test`, or with `scripts/with-servers.sh go test -tags=integration ...`", name)
	}
	return value
}
