package testenv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Names in SecureRedis.
const (
	RedisUser     = "booking"
	RedisPassword = "hush"
)

// SecureRedis starts a redis-server for this test alone that takes only TLS, with a certificate of the
// authority, and only RedisUser, who may touch nothing but holds. It answers its address, host:port.
func SecureRedis(t testing.TB, a *Authority) string {
	t.Helper()
	cert, key := a.Issue(t, "redis")
	port := FreePort(t)
	Run(t, "redis-server", "--bind", "127.0.0.1", "--port", "0", "--tls-port", fmt.Sprint(port),
		"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", a.File, "--tls-auth-clients", "no",
		"--dir", t.TempDir(), "--save", "", "--user", "default", "off",
		"--user", RedisUser, "on", ">"+RedisPassword, "~hold:*", "+@all")
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", addr)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, 10*time.Second, 20*time.Millisecond, "redis-server does not come up")
	return addr
}

// MutualTLS puts TLS before a server that speaks plaintext HTTP/2: clients must show a certificate of the
// authority. It answers its address, host:port.
func MutualTLS(t testing.TB, server string, a *Authority) string {
	t.Helper()
	cert, key := a.Issue(t, "front")
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	clients := x509.NewCertPool()
	clients.AddCert(a.certificate)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})
	require.NoError(t, err)
	var connections sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	connections.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				connections.Go(func() { pass(ctx, conn, server) })
			}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		connections.Wait()
	})
	return listener.Addr().String()
}

// pass carries a connection to a server and back.
func pass(ctx context.Context, conn net.Conn, server string) {
	defer conn.Close()
	onward, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return
	}
	defer onward.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close(); _ = onward.Close() })
	defer stop()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, onward)
		_ = conn.Close()
	})
	_, _ = io.Copy(onward, conn)
	_ = onward.Close()
	back.Wait()
}
