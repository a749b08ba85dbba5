package grpc

import (
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/callers"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

const (
	// handshakeTimeout is how long a new connection may take to say that it speaks HTTP/2.
	handshakeTimeout = 10 * time.Second
	// minPingInterval is how often a client may ping, also without a call.
	minPingInterval = 10 * time.Second
	// maxIdle is how long a connection without calls is kept.
	maxIdle = 15 * time.Minute
	// slowLines is how many lines about slow calls are written a second.
	slowLines = 10
	// maxHeaders is the most that the headers of a call may have, in bytes. gRPC takes 16 MiB, and a token in
	// them is read before its signature.
	maxHeaders = 64 << 10
	// pingAfter is how long a connection may be silent before it is pinged, and pingTimeout how
	// long the answer may take before the peer counts as gone.
	pingAfter   = time.Minute
	pingTimeout = 20 * time.Second
	// streamWorkers is how many goroutines gRPC keeps for calls, for the reason that crew is there for; more
	// calls at a time get a new one each.
	streamWorkers = 64
)

// Options are what the server needs besides its handler. Logger, Metrics and RequestTimeout are required.
type Options struct {
	Logger  zerolog.Logger
	Metrics *metrics.Metrics
	// RequestTimeout bounds each call; a client's own deadline may be shorter.
	RequestTimeout time.Duration
	// Credentials are those of TLS, nil for plaintext.
	Credentials credentials.TransportCredentials
	// Callers are who may call; nil lets everybody do everything.
	Callers *callers.Known
	Limits  Limits
	// SlowCall is from when on a call is logged as slow; 0: never.
	SlowCall time.Duration
}

// NewServer makes a server of the booking service with health and reflection. The health of the
// whole and of the booking service is NOT_SERVING until SetServing.
//
// Before a graceful stop, call Shutdown of the health server. Clients may keep a health Watch or a
// reflection stream open, so a graceful stop needs a time limit; Stop afterwards waits for handlers.
func NewServer(handler bookingpb.BookingServiceServer, o Options) (*grpc.Server, *health.Server) {
	i := interceptors{
		Options: o, handlers: newCrew(), bookings: handler,
		slow:  &zerolog.BurstSampler{Burst: slowLines, Period: time.Second},
		calls: newGate(o.Limits.Calls), availability: newGate(o.Limits.AvailabilityCalls),
		rates: newRates(o.Limits.Rate, o.Limits.Burst),
	}
	options := []grpc.ServerOption{
		grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithFilter(filters.Not(filters.HealthCheck())))),
		grpc.ChainUnaryInterceptor(i.observe, recoverUnary, i.identify, i.limit, recoverUnary, i.authorize),
		grpc.StreamInterceptor(recoverStream(o.Logger)),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: maxIdle, Time: pingAfter, Timeout: pingTimeout}),
		grpc.WaitForHandlers(true),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.NumStreamWorkers(streamWorkers),
	}
	if o.Credentials != nil {
		options = append(options, grpc.Creds(handshakes{o.Credentials, o.Metrics, o.Logger, &zerolog.BurstSampler{Burst: 1, Period: time.Second}}))
	}
	if o.Limits.RequestBytes > 0 {
		options = append(options, grpc.MaxRecvMsgSize(o.Limits.RequestBytes))
	}
	if o.Limits.Streams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(uint32(o.Limits.Streams)))
	}
	server := grpc.NewServer(options...)
	bookingpb.RegisterBookingServiceServer(server, handler)
	h := health.NewServer()
	SetServing(h, false)
	healthpb.RegisterHealthServer(server, h)
	reflection.Register(server)
	return server, h
}

// SetServing sets the health of the whole and of the booking service. After Shutdown of the health
// server it does nothing.
func SetServing(h *health.Server, serving bool) {
	s := healthpb.HealthCheckResponse_NOT_SERVING
	if serving {
		s = healthpb.HealthCheckResponse_SERVING
	}
	h.SetServingStatus("", s)
	h.SetServingStatus(bookingpb.BookingService_ServiceDesc.ServiceName, s)
}
