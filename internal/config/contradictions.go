package config

import "strings"

// contradiction is what is wrong with several settings together.
type contradiction struct {
	// of are their names.
	of      []string
	problem string
}

// minSecret is the least length of a secret that signs tokens, in bytes: that of SHA-256's output (RFC 7518,
// section 3.2).
const minSecret = 32

// contradictions lists all that does not fit together.
func (c *Config) contradictions() []contradiction {
	var found []contradiction
	never := func(wrong bool, problem string, of ...string) {
		if wrong {
			found = append(found, contradiction{of, problem})
		}
	}
	needs := func(has bool, name string, needed bool, other string) {
		of := append(strings.Split(name, " or "), strings.Split(strings.TrimSuffix(other, "=on"), " or ")...)
		never(has && !needed, name+" must be set together with "+other, of...)
	}
	both := func(a bool, nameOfA string, b bool, nameOfB string) {
		needs(a, nameOfA, b, nameOfB)
		needs(b, nameOfB, a, nameOfA)
	}
	never(c.Port == c.MetricsPort, "METRICS_PORT must differ from PORT", "PORT", "METRICS_PORT")
	never(c.VenueTimeout >= c.RequestTimeout, "VENUE_TIMEOUT must be shorter than REQUEST_TIMEOUT", "VENUE_TIMEOUT", "REQUEST_TIMEOUT")
	// A key that still answers its booking must find the request that made it.
	never(c.GuestDataRetention > 0 && c.GuestDataRetention < c.IdempotencyRetention,
		"GUEST_DATA_RETENTION must be 0 or not shorter than IDEMPOTENCY_RETENTION", "GUEST_DATA_RETENTION", "IDEMPOTENCY_RETENTION")

	both(c.GRPCCertFile != "", "GRPC_TLS_CERT_FILE", c.GRPCKeyFile != "", "GRPC_TLS_KEY_FILE")
	needs(c.GRPCClientCAFile != "", "GRPC_TLS_CLIENT_CA_FILE", c.GRPCCertFile != "", "GRPC_TLS_CERT_FILE")
	both(c.VenueCertFile != "", "GRPC_VENUE_TLS_CERT_FILE", c.VenueKeyFile != "", "GRPC_VENUE_TLS_KEY_FILE")
	needs(c.VenueCertFile != "", "GRPC_VENUE_TLS_CERT_FILE", c.VenueTLS, "GRPC_VENUE_TLS=on")
	needs(c.VenueCAFile != "", "GRPC_VENUE_TLS_CA_FILE", c.VenueTLS, "GRPC_VENUE_TLS=on")
	needs(c.RedisCAFile != "", "REDIS_TLS_CA_FILE", c.RedisTLS, "REDIS_TLS=on")
	needs(c.KafkaCAFile != "", "KAFKA_TLS_CA_FILE", c.KafkaTLS, "KAFKA_TLS=on")
	never(c.PostgresRootCert != "" && !strings.HasPrefix(c.PostgresSSLMode, "verify-"),
		"POSTGRES_SSLROOTCERT needs POSTGRES_SSLMODE verify-ca or verify-full", "POSTGRES_SSLROOTCERT", "POSTGRES_SSLMODE")
	never(c.RedisCluster && c.RedisMaster != "", "REDIS_CLUSTER must not be on together with REDIS_MASTER", "REDIS_CLUSTER", "REDIS_MASTER")

	const sasl = "KAFKA_SASL_MECHANISM"
	needs(c.KafkaSASL != SASLNone, sasl, c.KafkaUser != "", "KAFKA_SASL_USER")
	needs(c.KafkaSASL != SASLNone, sasl, c.KafkaPassword != "", "KAFKA_SASL_PASSWORD")
	needs(c.KafkaUser != "", "KAFKA_SASL_USER", c.KafkaSASL != SASLNone, sasl)
	needs(c.KafkaPassword != "", "KAFKA_SASL_PASSWORD", c.KafkaSASL != SASLNone, sasl)
	needs(c.KafkaSASL == SASLPlain, sasl+" PLAIN", c.KafkaTLS, "KAFKA_TLS=on") // It sends the password as it is.
	needs(c.RateBurst > 0, "RATE_BURST", c.RateLimit > 0, "RATE_LIMIT")

	needs(len(c.CertCallers) > 0, "AUTH_CERT_CALLERS", c.GRPCClientCAFile != "", "GRPC_TLS_CLIENT_CA_FILE")
	never(c.JWTSecret != "" && len(c.JWTSecret) < minSecret, "AUTH_JWT_SECRET must have at least 32 bytes", "AUTH_JWT_SECRET", "AUTH_JWT_SECRET_FILE")
	never(c.JWTSecret != "" && c.JWKSFile != "", "AUTH_JWKS_FILE must not be set together with AUTH_JWT_SECRET", "AUTH_JWKS_FILE", "AUTH_JWT_SECRET")
	tokens := c.JWTSecret != "" || c.JWKSFile != ""
	const keys = "AUTH_JWT_SECRET or AUTH_JWKS_FILE"
	needs(tokens, keys, c.JWTIssuer != "", "AUTH_JWT_ISSUER")
	needs(tokens, keys, c.JWTAudience != "", "AUTH_JWT_AUDIENCE")
	needs(c.JWTIssuer != "", "AUTH_JWT_ISSUER", tokens, keys)
	needs(c.JWTAudience != "", "AUTH_JWT_AUDIENCE", tokens, keys)
	return found
}
