package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // Without it healthCheckConfig does nothing.
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/stats"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// serviceConfig is what docs/clients.md gives to clients.
const serviceConfig = "examples/client/service_config.json"

// names tells clients where replicas are, as a name service does. Addresses of replicas that have gone stay in it.
type names struct {
	state     resolver.State
	resolvers []*manual.Resolver
	conns     []*grpc.ClientConn
}

func (n *names) add(address string) {
	n.state.Endpoints = append(n.state.Endpoints[:len(n.state.Endpoints):len(n.state.Endpoints)],
		resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}})
	for _, r := range n.resolvers {
		r.UpdateState(n.state)
	}
}

// client answers a client of all replicas that follows docs/clients.md.
func (n *names) client(a *attempts) (bookingpb.BookingServiceClient, error) {
	config, err := os.ReadFile(serviceConfig)
	if err != nil {
		return nil, err
	}
	r := manual.NewBuilderWithScheme("replicas")
	r.InitialState(n.state)
	conn, err := grpc.NewClient("replicas:///booking-svc", grpc.WithResolvers(r), grpc.WithStatsHandler(a),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(string(config)))
	if err != nil {
		return nil, err
	}
	conn.Connect()
	n.resolvers, n.conns = append(n.resolvers, r), append(n.conns, conn)
	return bookingpb.NewBookingServiceClient(conn), nil
}

// direct answers a client of one replica that tries nothing again.
func (n *names) direct(address string) (bookingpb.BookingServiceClient, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		return nil, err
	}
	n.conns = append(n.conns, conn)
	return bookingpb.NewBookingServiceClient(conn), nil
}

func (n *names) close() {
	for _, c := range n.conns {
		_ = c.Close()
	}
}

// attempts counts what gRPC does by itself for calls to all replicas.
type attempts struct {
	// first are attempts, those of the retry policy included; moved those that a replica had not taken any more,
	// so that gRPC sent them to another one.
	first, moved atomic.Int64
}

type bookingCall struct{}

// TagRPC notes which attempts are calls of the service: health watches are not.
func (a *attempts) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, bookingCall{}, strings.HasPrefix(info.FullMethodName, "/booking."))
}

// HandleRPC counts an attempt that begins.
func (a *attempts) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if begin, ok := s.(*stats.Begin); ok && ctx.Value(bookingCall{}) == true {
		if begin.IsTransparentRetryAttempt {
			a.moved.Add(1)
		} else {
			a.first.Add(1)
		}
	}
}

// TagConn does nothing.
func (a *attempts) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn does nothing.
func (a *attempts) HandleConn(context.Context, stats.ConnStats) {}

// route is the clients that guests use at the moment, and the phase's name.
type route struct {
	mu      sync.Mutex
	phase   string
	clients []bookingpb.BookingServiceClient
}

func (r *route) set(phase string, clients []bookingpb.BookingServiceClient) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase, r.clients = phase, clients
}

func (r *route) pick(rnd func(int) int) (string, bookingpb.BookingServiceClient) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phase, r.clients[rnd(len(r.clients))]
}
