package app

import (
	"crypto/tls"
	"fmt"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/callers"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/tlsfiles"
)

// serverCredentials answers the gRPC server's TLS, nil for plaintext.
func (s *service) serverCredentials() (credentials.TransportCredentials, error) {
	cfg := s.cfg
	if cfg.GRPCCertFile == "" {
		if cfg.Env == config.Production {
			s.log.Warn().Msg("gRPC is served in plaintext; set GRPC_TLS_CERT_FILE and GRPC_TLS_KEY_FILE unless something else encrypts it")
		}
		return nil, nil
	}
	creds, err := tlsfiles.Server(tlsfiles.Files{Cert: cfg.GRPCCertFile, Key: cfg.GRPCKeyFile, CA: cfg.GRPCClientCAFile, Logger: s.log, Loaded: s.certificate("grpc")})
	if err != nil {
		return nil, fmt.Errorf("GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE, GRPC_TLS_CLIENT_CA_FILE: %w", err)
	}
	return creds, nil
}

// venueCredentials answers the TLS to the venue service, nil for plaintext.
func (s *service) venueCredentials() (credentials.TransportCredentials, error) {
	cfg := s.cfg
	if !cfg.VenueTLS {
		return nil, nil
	}
	creds, err := tlsfiles.Client(tlsfiles.Files{Cert: cfg.VenueCertFile, Key: cfg.VenueKeyFile, CA: cfg.VenueCAFile, Logger: s.log, Loaded: s.certificate("venue")})
	if err != nil {
		return nil, fmt.Errorf("GRPC_VENUE_TLS_CERT_FILE, GRPC_VENUE_TLS_KEY_FILE, GRPC_VENUE_TLS_CA_FILE: %w", err)
	}
	return creds, nil
}

// certificate answers what notes until when a certificate is good.
func (s *service) certificate(name string) func(until time.Time) {
	return func(until time.Time) { s.metrics.SetCertificate(name, until) }
}

// clientTLS answers the TLS to a neighbour, nil for none. name is the variable of caPath.
func clientTLS(on bool, caPath, name string) (*tls.Config, error) {
	if !on {
		return nil, nil
	}
	tlsConfig, err := tlsfiles.ClientConfig(caPath)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return tlsConfig, nil
}

// knownCallers answers who may call, nil for everybody.
func (s *service) knownCallers() (*callers.Known, error) {
	cfg := s.cfg
	tokens := cfg.JWTSecret != "" || cfg.JWKSFile != ""
	if !tokens && len(cfg.CertCallers) == 0 {
		return nil, nil
	}
	known := &callers.Known{Certificates: cfg.CertCallers}
	if !tokens {
		return known, nil
	}
	if cfg.GRPCCertFile == "" && cfg.Env == config.Production {
		s.log.Warn().Msg("Bearer tokens are taken in plaintext: who reads one on its way can use it")
	}
	var err error
	known.Tokens, err = callers.NewTokens(callers.TokenOptions{
		Secret: string(cfg.JWTSecret), Keys: cfg.JWKSFile, Issuer: cfg.JWTIssuer, Audience: cfg.JWTAudience, Logger: s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("AUTH_JWKS_FILE: %w", err)
	}
	return known, nil
}
