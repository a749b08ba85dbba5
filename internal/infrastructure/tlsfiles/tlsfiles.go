// Package tlsfiles makes TLS of certificates that are files, as a mounted secret is.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/tls/certprovider"
	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"
	"google.golang.org/grpc/security/advancedtls"
)

// refresh is how often the files are read again.
const refresh = 10 * time.Second

// Files are paths of PEM files; an empty one is not there.
type Files struct {
	// Cert is a certificate with its chain, and Key its key.
	Cert, Key string
	// CA are the authorities that the other side's certificate must come from.
	CA string
	// Refresh is how often they are read again; 0 is every ten seconds.
	Refresh time.Duration
}

// Server answers the credentials of a gRPC server. With a CA, every client must show a certificate of it.
// The files are read again when they change; connections that are there go on. close ends that.
//
// Errors: a file that cannot be read or has not what it should, with its path.
func Server(f Files) (creds credentials.TransportCredentials, closeFiles func(), err error) {
	identity, roots, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	options := &advancedtls.Options{
		IdentityOptions:  advancedtls.IdentityCertificateOptions{IdentityProvider: identity},
		VerificationType: advancedtls.SkipVerification,
	}
	if roots != nil {
		options.RequireClientCert = true
		options.VerificationType = advancedtls.CertVerification
		options.RootOptions = advancedtls.RootCertificateOptions{RootProvider: roots}
	}
	creds, err = advancedtls.NewServerCreds(options)
	return creds, closer(identity, roots), err
}

// Client answers the credentials of a gRPC client, which checks the server's name. Without a CA, the
// system's authorities decide; with a certificate, it is shown. The rest is as with Server.
func Client(f Files) (creds credentials.TransportCredentials, closeFiles func(), err error) {
	identity, roots, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	options := &advancedtls.Options{VerificationType: advancedtls.CertAndHostVerification}
	if identity != nil {
		options.IdentityOptions.IdentityProvider = identity
	}
	if roots != nil {
		options.RootOptions.RootProvider = roots
	}
	creds, err = advancedtls.NewClientCreds(options)
	return creds, closer(identity, roots), err
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

// open checks the files, so that a wrong one is told at the start, and begins to watch them.
func (f Files) open() (identity, roots certprovider.Provider, err error) {
	if f.Refresh == 0 {
		f.Refresh = refresh
	}
	if f.Cert != "" {
		if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return nil, nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
		}
		identity, err = pemfile.NewProvider(pemfile.Options{CertFile: f.Cert, KeyFile: f.Key, RefreshDuration: f.Refresh})
		if err != nil {
			return nil, nil, err
		}
	}
	if f.CA != "" {
		if _, err = authorities(f.CA); err == nil {
			roots, err = pemfile.NewProvider(pemfile.Options{RootFile: f.CA, RefreshDuration: f.Refresh})
		}
		if err != nil {
			closer(identity)()
			return nil, nil, err
		}
	}
	return identity, roots, nil
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

func closer(providers ...certprovider.Provider) func() {
	return func() {
		for _, p := range providers {
			if p != nil {
				p.Close()
			}
		}
	}
}
