// Package tlsfiles makes TLS of certificates that are files, as a mounted secret is.
package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/security/advancedtls"
)

// Files are paths of PEM files; an empty one is not there.
type Files struct {
	// Cert is a certificate with its chain, and Key its key.
	Cert, Key string
	// CA are the authorities that the other side's certificate must come from.
	CA string
	// Refresh is how old what is known of them may be; 0 is ten seconds.
	Refresh time.Duration
	// Logger is told when they cannot be read again: what was there before goes on.
	Logger zerolog.Logger
	// Loaded, when not nil, is told until when the certificate is good, each time that it is read.
	Loaded func(until time.Time)
}

// Server answers the credentials of a gRPC server. With a CA, every client must show a certificate of it.
// The files are read again when they change; connections that are there go on.
//
// Errors: a file that cannot be read or has not what it should, with its path.
func Server(f Files) (credentials.TransportCredentials, error) {
	identity, roots, err := f.load()
	if err != nil {
		return nil, err
	}
	options := &advancedtls.Options{VerificationType: advancedtls.SkipVerification}
	options.IdentityOptions.GetIdentityCertificatesForServer = func(*tls.ClientHelloInfo) ([]*tls.Certificate, error) {
		return []*tls.Certificate{identity.current()}, nil
	}
	if f.CA != "" {
		options.RequireClientCert = true
		options.VerificationType = advancedtls.CertVerification
		options.RootOptions.GetRootCertificates = roots.forHandshake
	}
	return advancedtls.NewServerCreds(options)
}

// Client answers the credentials of a gRPC client, which checks the server's name. Without a CA, the
// system's authorities decide; with a certificate, it is shown. The rest is as with Server.
func Client(f Files) (credentials.TransportCredentials, error) {
	identity, roots, err := f.load()
	if err != nil {
		return nil, err
	}
	options := &advancedtls.Options{VerificationType: advancedtls.CertAndHostVerification}
	if f.Cert != "" {
		options.IdentityOptions.GetIdentityCertificatesForClient = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return identity.current(), nil
		}
	}
	if f.CA != "" {
		options.RootOptions.GetRootCertificates = roots.forHandshake
	}
	creds, err := advancedtls.NewClientCreds(options)
	if err != nil {
		return nil, err
	}
	return hostOnly{creds}, nil
}

// hostOnly asks a server for its name without the port, which is no part of it (RFC 6066, section 3).
type hostOnly struct {
	credentials.TransportCredentials
}

// ClientHandshake implements credentials.TransportCredentials.
func (c hostOnly) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		authority = host
	}
	return c.TransportCredentials.ClientHandshake(ctx, authority, conn)
}

// Clone implements credentials.TransportCredentials.
func (c hostOnly) Clone() credentials.TransportCredentials {
	return hostOnly{c.TransportCredentials.Clone()}
}

// ClientConfig answers the settings of any other client, which checks the server's name. Without a path of a
// CA, the system's authorities decide. The file is read once.
//
// Errors: as Server.
func ClientConfig(caPath string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caPath == "" {
		return config, nil
	}
	var err error
	config.RootCAs, err = authorities(caPath)
	return config, err
}

// roots are the authorities in a file.
type roots struct{ *fresh[*x509.CertPool] }

func (r roots) forHandshake(*advancedtls.ConnectionInfo) (*advancedtls.RootCertificates, error) {
	return &advancedtls.RootCertificates{TrustCerts: r.current()}, nil
}

// load reads what there is for the first time, so that a wrong file is told at the start.
func (f Files) load() (identity *fresh[*tls.Certificate], ca roots, err error) {
	if f.Cert != "" {
		identity, err = newFresh(f, func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
			if err != nil {
				return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
			}
			if f.Loaded != nil {
				f.Loaded(pair.Leaf.NotAfter)
			}
			return &pair, nil
		})
	}
	if err == nil && f.CA != "" {
		ca.fresh, err = newFresh(f, func() (*x509.CertPool, error) { return authorities(f.CA) })
	}
	return identity, ca, err
}

func authorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("authorities: no certificate in PEM in " + path)
	}
	return pool, nil
}
