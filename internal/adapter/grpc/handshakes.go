package grpc

import (
	"net"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/credentials"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

// handshakes counts those that fail, as of clients without the certificate that is asked for: gRPC itself
// tells nobody.
type handshakes struct {
	credentials.TransportCredentials
	metrics *metrics.Metrics
	log     zerolog.Logger
	// some tells about which there is a line.
	some *zerolog.BurstSampler
}

// ServerHandshake implements credentials.TransportCredentials.
func (h handshakes) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := h.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		h.metrics.HandshakeFailed()
		if h.some.Sample(zerolog.InfoLevel) {
			h.log.Info().Err(err).Stringer("peer", conn.RemoteAddr()).Msg("TLS handshake failed")
		}
	}
	return secure, info, err
}

// Clone implements credentials.TransportCredentials.
func (h handshakes) Clone() credentials.TransportCredentials {
	h.TransportCredentials = h.TransportCredentials.Clone()
	return h
}
