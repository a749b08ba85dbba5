package tlsfiles

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// watcher answers a health check with the name in the client's certificate, and watches for ever.
type watcher struct {
	healthpb.UnimplementedHealthServer
}

func (watcher) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

func (watcher) Watch(_ *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	for {
		if err := stream.Send(&healthpb.HealthCheckResponse{}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func serve(t *testing.T, files Files) (addr string) {
	t.Helper()
	creds, err := Server(files)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.Creds(creds))
	healthpb.RegisterHealthServer(server, watcher{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// dial answers a client, and what the server's certificate is.
func dial(t *testing.T, addr string, files Files) healthpb.HealthClient {
	t.Helper()
	creds, err := Client(files)
	require.NoError(t, err)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

func check(t *testing.T, addr string, files Files) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := dial(t, addr, files).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func TestTLS(t *testing.T) {
	ca, other := testenv.NewAuthority(t), testenv.NewAuthority(t)
	cert, key := ca.Issue(t, "booking-svc")
	addr := serve(t, Files{Cert: cert, Key: key})
	require.NoError(t, check(t, addr, Files{CA: ca.File}))
	require.ErrorContains(t, check(t, addr, Files{CA: other.File}), "certificate")
	require.ErrorContains(t, check(t, addr, Files{}), "certificate", "the system knows no such authority")
}

func TestServerOfAnotherName(t *testing.T) {
	ca := testenv.NewAuthority(t)
	cert, key := ca.Issue(t, "booking-svc")
	addr := serve(t, Files{Cert: cert, Key: key})
	creds, err := Client(Files{CA: ca.File})
	require.NoError(t, err)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds), grpc.WithAuthority("another"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	require.ErrorContains(t, err, "another")
}

func TestMutualTLS(t *testing.T) {
	ca, other := testenv.NewAuthority(t), testenv.NewAuthority(t)
	cert, key := ca.Issue(t, "booking-svc")
	addr := serve(t, Files{Cert: cert, Key: key, CA: ca.File})
	clientCert, clientKey := ca.Issue(t, "admin-gateway")
	require.NoError(t, check(t, addr, Files{CA: ca.File, Cert: clientCert, Key: clientKey}))
	require.Error(t, check(t, addr, Files{CA: ca.File}), "a client without a certificate")
	strangerCert, strangerKey := other.Issue(t, "admin-gateway")
	require.Error(t, check(t, addr, Files{CA: ca.File, Cert: strangerCert, Key: strangerKey}))
}

// New certificates of a new authority count without a restart, and a call that is open goes on.
func TestFilesAreReadAgain(t *testing.T) {
	before, after := testenv.NewAuthority(t), testenv.NewAuthority(t)
	cert, key := before.Issue(t, "booking-svc")
	var log testenv.Buffer
	var loaded atomic.Int64
	addr := serve(t, Files{Cert: cert, Key: key, Refresh: 20 * time.Millisecond, Logger: zerolog.New(&log), Loaded: func(until time.Time) {
		loaded.Add(1)
		require.Greater(t, time.Until(until), 30*time.Minute)
	}})
	stream, err := dial(t, addr, Files{CA: before.File}).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)

	// The certificate is there before its key: the old pair goes on, and nothing of a key is logged.
	newCert, newKey := after.Issue(t, "booking-svc")
	replace(t, newCert, cert)
	require.Eventually(t, func() bool {
		require.NoError(t, check(t, addr, Files{CA: before.File}))
		return strings.Contains(log.String(), "Failed to read a certificate again")
	}, 10*time.Second, 20*time.Millisecond)
	require.NotContains(t, log.String(), "PRIVATE KEY")
	times := loaded.Load()
	replace(t, newKey, key)
	require.Eventually(t, func() bool { return check(t, addr, Files{CA: after.File}) == nil }, 10*time.Second, 50*time.Millisecond)
	require.Error(t, check(t, addr, Files{CA: before.File}))
	require.Greater(t, loaded.Load(), times)
	for range 5 {
		_, err = stream.Recv()
		require.NoError(t, err, "the connection from before goes on")
	}
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, content, 0o600))
}

// A server is asked for its name without the port: others than Go's take no other.
func TestServerName(t *testing.T) {
	ca := testenv.NewAuthority(t)
	cert, key := ca.Issue(t, "booking-svc")
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	asked := make(chan string, 1)
	listener, err := tls.Listen("tcp", "localhost:0", &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked <- hello.ServerName
			return &pair, nil
		},
	})
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_ = conn.(*tls.Conn).HandshakeContext(context.Background())
			_ = conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	_ = check(t, "localhost:"+port, Files{CA: ca.File})
	require.Equal(t, "localhost", <-asked)
}

func TestWrongFiles(t *testing.T) {
	ca := testenv.NewAuthority(t)
	cert, key := ca.Issue(t, "booking-svc")
	_, otherKey := ca.Issue(t, "booking-svc")
	nonsense := filepath.Join(t.TempDir(), "nonsense.pem")
	require.NoError(t, os.WriteFile(nonsense, []byte("nonsense"), 0o600))
	for _, files := range []Files{
		{Cert: cert, Key: otherKey}, {Cert: nonsense, Key: key}, {Cert: cert + ".not", Key: key},
		{Cert: cert, Key: key, CA: nonsense}, {Cert: cert, Key: key, CA: "not-there.pem"},
	} {
		for _, open := range []func(Files) (credentials.TransportCredentials, error){Server, Client} {
			_, err := open(files)
			require.Error(t, err)
			wrong := files.Cert
			if files.CA != "" {
				wrong = files.CA
			}
			require.ErrorContains(t, err, wrong)
		}
	}
	_, err := ClientConfig(nonsense)
	require.ErrorContains(t, err, nonsense)
}
