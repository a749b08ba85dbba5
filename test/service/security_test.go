//go:build integration

package service

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/tlsfiles"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

const jwtSecret = "a secret of thirty-two bytes, or more"

// secured are settings with which everything is encrypted and everybody known: PostgreSQL, Redis, Kafka, the
// venue service and callers.
func (s *stack) secured(t *testing.T, ca *testenv.Authority) []string {
	t.Helper()
	db, err := url.Parse(testenv.PgbouncerWithTLS(t, s.dbURL, ca))
	require.NoError(t, err)
	kafka := testenv.KafkaWithTLS(t)
	cert, key := ca.Issue(t, "booking-svc")
	secret := filepath.Join(t.TempDir(), "jwt-secret")
	require.NoError(t, os.WriteFile(secret, []byte(jwtSecret+"\n"), 0o600))
	return []string{
		"POSTGRES_HOST=localhost", "POSTGRES_PORT=" + db.Port(), "POSTGRES_POOLER=transaction",
		"POSTGRES_SSLMODE=verify-full", "POSTGRES_SSLROOTCERT=" + ca.File,
		"REDIS_ADDR=" + testenv.SecureRedis(t, ca), "REDIS_TLS=on", "REDIS_TLS_CA_FILE=" + ca.File,
		"REDIS_USER=" + testenv.RedisUser, "REDIS_PASSWORD=" + testenv.RedisPassword,
		"KAFKA_BROKERS=" + kafka.Addr, "KAFKA_TLS=on", "KAFKA_TLS_CA_FILE=" + kafka.CA,
		"KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "KAFKA_SASL_USER=" + kafka.User, "KAFKA_SASL_PASSWORD=" + kafka.Password,
		"GRPC_VENUE_ADDR=" + testenv.MutualTLS(t, s.venue.Addr(), ca), "GRPC_VENUE_TLS=on", "GRPC_VENUE_TLS_CA_FILE=" + ca.File,
		"GRPC_VENUE_TLS_CERT_FILE=" + cert, "GRPC_VENUE_TLS_KEY_FILE=" + key,
		"GRPC_TLS_CERT_FILE=" + cert, "GRPC_TLS_KEY_FILE=" + key, "GRPC_TLS_CLIENT_CA_FILE=" + ca.File,
		"AUTH_CERT_CALLERS=admin-gateway=read+book,venue-svc=read",
		"AUTH_JWT_SECRET_FILE=" + secret, "AUTH_JWT_ISSUER=issuer", "AUTH_JWT_AUDIENCE=booking-svc",
	}
}

// with answers a client that shows a certificate.
func (p *process) with(ca *testenv.Authority, name string) bookingpb.BookingServiceClient {
	p.t.Helper()
	cert, key := ca.Issue(p.t, name)
	creds, err := tlsfiles.Client(tlsfiles.Files{CA: ca.File, Cert: cert, Key: key})
	require.NoError(p.t, err)
	return p.dial(creds)
}

// dial answers a client with a connection of its own.
func (p *process) dial(creds credentials.TransportCredentials) bookingpb.BookingServiceClient {
	p.t.Helper()
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", p.port), grpc.WithTransportCredentials(creds))
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	return bookingpb.NewBookingServiceClient(conn)
}

// bearer answers a context with a token of a host of venues.
func bearer(ctx context.Context, t *testing.T, scope string, venues ...string) context.Context {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "issuer", "aud": "booking-svc", "sub": "host-1", "exp": time.Now().Add(time.Minute).Unix(),
		"scope": scope, "venues": venues,
	}).SignedString([]byte(jwtSecret))
	require.NoError(t, err)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func TestEverythingEncryptedAndEverybodyKnown(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	s.venue.slow(0) // The venue service of this test calls back in plaintext: it does not.
	ca, other := testenv.NewAuthority(t), testenv.NewAuthority(t)
	p := s.start(t, s.secured(t, ca)...)
	require.Eventually(t, func() bool {
		code, body := p.get("/readyz")
		return code == http.StatusOK && !strings.Contains(body, `"error"`)
	}, 20*time.Second, 50*time.Millisecond, "some dependency is away")

	request := s.request(s.venue.table2, "19:30", 2)
	request.AdminId = ""
	_, err := p.bookings.CreateBooking(ctx, request)
	require.Equal(t, codes.Unavailable, status.Code(err), "plaintext")
	_, err = p.with(other, "admin-gateway").CreateBooking(ctx, request)
	require.Equal(t, codes.Unavailable, status.Code(err), "a stranger's certificate")
	_, err = p.with(ca, "somebody").CreateBooking(ctx, request)
	require.Equal(t, codes.Unauthenticated, status.Code(err))

	_, metrics := p.get("/metrics")
	require.Regexp(t, `grpc_server_handshakes_failed_total\{[^}]*\} [1-9]`, metrics)
	require.Regexp(t, `grpc_server_requests_total\{method="CreateBooking",[^}]*status="unauthenticated"\} 1`, metrics)

	gateway := p.with(ca, "admin-gateway")
	b, err := gateway.CreateBooking(ctx, request)
	require.NoError(t, err)
	require.Equal(t, "admin-gateway", b.GetAdminId(), "who calls, as nobody was named")
	_, err = gateway.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: b.GetId(), AdminId: "anna"})
	require.NoError(t, err)
	seat := &bookingpb.MarkSeatedRequest{Id: b.GetId()}
	_, err = gateway.MarkSeated(ctx, seat)
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	_, err = gateway.MarkSeated(bearer(ctx, t, "booking:operate", "another venue"), seat)
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	_, err = gateway.MarkSeated(bearer(ctx, t, "booking:operate", s.venue.id), seat)
	require.NoError(t, err)
	readEvents(t, b.GetId(), 3)

	rows, err := s.pool.Query(ctx, `SELECT type, caller, coalesce(payload_json #>> '{confirmed,admin_id}', '') FROM booking_events ORDER BY version`)
	require.NoError(t, err)
	var audit []string
	for rows.Next() {
		var kind, caller, admin string
		require.NoError(t, rows.Scan(&kind, &caller, &admin))
		audit = append(audit, kind+" "+caller+" "+admin)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, []string{"booking.held admin-gateway ", "booking.confirmed admin-gateway anna", "booking.seated host-1 "}, audit)
}

func TestWrongSecuritySettingsAreNamed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	nonsense := filepath.Join(t.TempDir(), "nonsense")
	require.NoError(t, os.WriteFile(nonsense, []byte("nonsense"), 0o600))
	for _, test := range []struct {
		settings []string
		named    string
	}{
		{[]string{"GRPC_TLS_CERT_FILE=" + nonsense, "GRPC_TLS_KEY_FILE=" + nonsense}, "GRPC_TLS_CERT_FILE"},
		{[]string{"GRPC_VENUE_TLS=on", "GRPC_VENUE_TLS_CA_FILE=" + nonsense}, "GRPC_VENUE_TLS_CA_FILE"},
		{[]string{"REDIS_TLS=on", "REDIS_TLS_CA_FILE=" + nonsense}, "REDIS_TLS_CA_FILE"},
		{[]string{"KAFKA_TLS=on", "KAFKA_TLS_CA_FILE=" + nonsense}, "KAFKA_TLS_CA_FILE"},
		{[]string{"POSTGRES_SSLMODE=verify-full", "POSTGRES_SSLROOTCERT=" + nonsense}, "POSTGRES_SSLROOTCERT"},
		{[]string{"AUTH_JWKS_FILE=" + nonsense, "AUTH_JWT_ISSUER=i", "AUTH_JWT_AUDIENCE=a"}, "AUTH_JWKS_FILE"},
		{[]string{"AUTH_JWT_SECRET=short", "AUTH_JWT_ISSUER=i", "AUTH_JWT_AUDIENCE=a"}, "AUTH_JWT_SECRET"},
	} {
		p := s.launch(t, test.settings...)
		require.NotZero(t, p.exitCode(10*time.Second), test.named)
		require.Contains(t, p.log.String(), test.named)
	}
}

func TestMostConnections(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	p := s.start(t, "MAX_CONNECTIONS=1")
	get := &bookingpb.GetBookingRequest{Id: "nobody"}
	_, err := p.bookings.GetBooking(ctx, get)
	require.Equal(t, codes.NotFound, status.Code(err))
	second := p.dial(insecure.NewCredentials())
	_, err = second.GetBooking(ctx, get)
	require.Equal(t, codes.Unavailable, status.Code(err), "closed at once")
	require.NoError(t, p.conn.Close())
	_, err = second.GetBooking(ctx, get, grpc.WaitForReady(true))
	require.Equal(t, codes.NotFound, status.Code(err), "who leaves makes room")
}
