package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContradictionsAreRefused(t *testing.T) {
	secret := "AUTH_JWT_SECRET=" + strings.Repeat("x", minSecret)
	issuer, audience := "AUTH_JWT_ISSUER=i", "AUTH_JWT_AUDIENCE=a"
	here := "=contradictions_test.go" // A file that can be read.
	cert, key := "GRPC_TLS_CERT_FILE"+here, "GRPC_TLS_KEY_FILE"+here
	clientCA := "GRPC_TLS_CLIENT_CA_FILE" + here
	for _, test := range []struct {
		wrong string
		// fit makes it right.
		settings, fit []string
	}{
		{"GRPC_TLS_CERT_FILE", []string{cert}, []string{key}},
		{"GRPC_TLS_KEY_FILE", []string{key}, []string{cert}},
		{"GRPC_TLS_CLIENT_CA_FILE", []string{clientCA}, []string{cert, key}},
		{"GRPC_VENUE_TLS_CA_FILE", []string{"GRPC_VENUE_TLS_CA_FILE" + here}, []string{"GRPC_VENUE_TLS=on"}},
		{"GRPC_VENUE_TLS_CERT_FILE", []string{"GRPC_VENUE_TLS=on", "GRPC_VENUE_TLS_CERT_FILE" + here}, []string{"GRPC_VENUE_TLS_KEY_FILE" + here}},
		{"REDIS_TLS_CA_FILE", []string{"REDIS_TLS_CA_FILE" + here}, []string{"REDIS_TLS=on"}},
		{"REDIS_CLUSTER", []string{"REDIS_CLUSTER=on", "REDIS_MASTER=m"}, []string{"REDIS_MASTER="}},
		{"KAFKA_TLS_CA_FILE", []string{"KAFKA_TLS_CA_FILE" + here}, []string{"KAFKA_TLS=on"}},
		{"KAFKA_SASL_MECHANISM", []string{"KAFKA_TLS=on", "KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_SASL_USER=u"}, []string{"KAFKA_SASL_PASSWORD=p"}},
		{"KAFKA_SASL_MECHANISM PLAIN", []string{"KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_SASL_USER=u", "KAFKA_SASL_PASSWORD=p"}, []string{"KAFKA_TLS=on"}},
		{"KAFKA_SASL_PASSWORD", []string{"KAFKA_SASL_PASSWORD=p"}, []string{"KAFKA_SASL_PASSWORD="}},
		{"RATE_BURST", []string{"RATE_BURST=5"}, []string{"RATE_LIMIT=5"}},
		{"KAFKA_SASL_USER", []string{"KAFKA_SASL_USER=u"}, []string{"KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "KAFKA_SASL_PASSWORD=p"}},
		{"POSTGRES_SSLROOTCERT", []string{"POSTGRES_SSLROOTCERT" + here}, []string{"POSTGRES_SSLMODE=verify-full"}},
		{"AUTH_CERT_CALLERS", []string{"AUTH_CERT_CALLERS=a=read"}, []string{cert, key, clientCA}},
		{"AUTH_JWT_SECRET", []string{"AUTH_JWT_SECRET=short", issuer, audience}, []string{secret}},
		{"AUTH_JWKS_FILE", []string{secret, issuer, audience, "AUTH_JWKS_FILE" + here}, []string{"AUTH_JWT_SECRET="}},
		{"AUTH_JWT_SECRET or AUTH_JWKS_FILE must be set together with AUTH_JWT_ISSUER", []string{secret, audience}, []string{issuer}},
		{"AUTH_JWT_AUDIENCE", []string{secret, issuer}, []string{audience}},
	} {
		_, err := Load(test.settings)
		require.ErrorContains(t, err, test.wrong, test.settings)
		var wrong *Error
		require.ErrorAs(t, err, &wrong)
		require.Len(t, wrong.Problems, 1, test.settings)
		_, err = Load(append(test.settings, test.fit...))
		require.NoError(t, err, test.wrong)
	}
}

func TestSecretsInFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(" a word \n"), 0o600))
	cfg, err := Load([]string{
		"POSTGRES_PASSWORD_FILE=" + path, "REDIS_PASSWORD_FILE=" + path, "KAFKA_SASL_PASSWORD_FILE=" + path,
		"KAFKA_SASL_MECHANISM=SCRAM-SHA-256", "KAFKA_SASL_USER=u",
	})
	require.NoError(t, err)
	for _, secret := range []Secret{cfg.PostgresPassword, cfg.RedisPassword, cfg.KafkaPassword} {
		require.Equal(t, Secret(" a word "), secret, "all but the line's end")
	}
	_, err = Load([]string{"POSTGRES_PASSWORD=x", "POSTGRES_PASSWORD_FILE=" + path})
	require.ErrorContains(t, err, "POSTGRES_PASSWORD_FILE must not be set together with POSTGRES_PASSWORD")
	require.NotContains(t, err.Error(), "word")
	_, err = Load([]string{"AUTH_JWT_SECRET_FILE=correct-horse"})
	require.ErrorContains(t, err, "AUTH_JWT_SECRET_FILE must be a file that can be read: no such file or directory")
	require.NotContains(t, err.Error(), "correct-horse", "a secret that was pasted into the wrong variable")
}

func TestCallersInCertificates(t *testing.T) {
	here := "=contradictions_test.go"
	cfg, err := Load([]string{
		"AUTH_CERT_CALLERS=admin-gateway=read+book+operate, spiffe://d/venue-svc=read",
		"GRPC_TLS_CERT_FILE" + here, "GRPC_TLS_KEY_FILE" + here, "GRPC_TLS_CLIENT_CA_FILE" + here,
	})
	require.NoError(t, err)
	require.Equal(t, map[string][]string{
		"admin-gateway": {"read", "book", "operate"}, "spiffe://d/venue-svc": {"read"},
	}, cfg.CertCallers)
}
