package grpc

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/callers"
	"github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// needed is the permission that each call needs. A call of the booking service that is not in it is refused;
// health and reflection are for everybody.
var needed = map[string]callers.Permission{
	bookingpb.BookingService_GetBooking_FullMethodName:             callers.Read,
	bookingpb.BookingService_ListBookings_FullMethodName:           callers.Read,
	bookingpb.BookingService_CheckTableAvailability_FullMethodName: callers.Read,
	bookingpb.BookingService_CreateBooking_FullMethodName:          callers.Book,
	bookingpb.BookingService_ConfirmBooking_FullMethodName:         callers.Book,
	bookingpb.BookingService_CancelBooking_FullMethodName:          callers.Book,
	bookingpb.BookingService_MarkSeated_FullMethodName:             callers.Operate,
	bookingpb.BookingService_MarkFinished_FullMethodName:           callers.Operate,
	bookingpb.BookingService_MarkNoShow_FullMethodName:             callers.Operate,
}

// ofBookings tells whether a method is one of the booking service.
func ofBookings(fullMethod string) bool {
	return path.Dir(fullMethod) == "/"+bookingpb.BookingService_ServiceDesc.ServiceName
}

type callerKey struct{}

// identify finds out who calls, refuses who may not make this call, or calls too often, and puts the
// caller's name where the use cases and the log find it.
func (i interceptors) identify(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if !ofBookings(info.FullMethod) {
		return next(ctx, req)
	}
	caller, err := i.caller(ctx)
	if err != nil {
		caller = nobody
	}
	// Who may not call pays as well: a host with no name for all that it is not believed.
	if i.rates != nil {
		if wait := i.rates.take(callerOrHost(ctx, caller), time.Now()); wait > 0 {
			return nil, &refusal{kind: tooOften, retryAfter: wait, caller: caller.Name}
		}
	}
	if err != nil {
		return nil, &refusal{kind: unauthenticated, cause: err}
	}
	if i.Callers != nil {
		if !caller.May(needed[info.FullMethod]) {
			return nil, &refusal{kind: forbidden, cause: errors.New("not among the caller's permissions"), caller: caller.Name}
		}
		ctx = context.WithValue(ctx, callerKey{}, caller)
	}
	if caller.Name != "" {
		log := zerolog.Ctx(ctx).With().Str("caller", caller.Name).Logger()
		ctx = booking.WithCaller(log.WithContext(ctx), caller.Name)
	}
	return next(ctx, req)
}

// nobody is a caller who is not known, where that does not matter.
var nobody = &callers.Caller{}

// caller answers who calls. When everybody may, that is the name in the certificate, or nobody.
func (i interceptors) caller(ctx context.Context) (*callers.Caller, error) {
	certificate := certificateOf(ctx)
	if i.Callers != nil {
		token, err := bearerToken(ctx)
		if err != nil {
			return nil, err
		}
		return i.Callers.Identify(certificate, token)
	}
	if certificate == nil {
		return nobody, nil
	}
	name, err := callers.NameIn(certificate)
	return &callers.Caller{Name: name}, err
}

// certificateOf answers the client's certificate, which the handshake has checked; nil without one.
func certificateOf(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil
	}
	return info.State.PeerCertificates[0]
}

// bearerToken answers the token of the authorization header (RFC 6750), empty without one.
func bearerToken(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errors.New("the authorization header is no bearer token")
	}
	return token, nil
}

// callerOrHost answers whose calls count together: the caller's, or those of a host, which has no name.
func callerOrHost(ctx context.Context, caller *callers.Caller) string {
	if caller.Name != "" {
		return caller.Name
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	addr, err := netip.ParseAddrPort(p.Addr.String())
	switch ip := addr.Addr().Unmap(); {
	case err != nil:
		return p.Addr.String()
	case ip.Is6():
		// A host has as many of those as it likes within its network.
		network, _ := ip.WithZone("").Prefix(64)
		return network.String()
	default:
		return ip.String()
	}
}

// authorize refuses a caller who may call for some venues only and asks for another. It is the innermost
// interceptor, as it may read a booking, whose venue never changes.
func (i interceptors) authorize(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	caller, _ := ctx.Value(callerKey{}).(*callers.Caller)
	if caller == nil || caller.Venues == nil {
		return next(ctx, req)
	}
	var venueID string
	switch r := req.(type) {
	case interface{ GetVenueId() string }:
		venueID = r.GetVenueId()
	case interface{ GetId() string }:
		b, err := i.bookings.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: r.GetId()})
		switch {
		case errors.Is(err, dom.ErrNotFound): // As a booking of another venue: who may not know it learns nothing.
		case err != nil:
			return nil, err
		default:
			venueID = b.GetVenueId()
		}
	}
	if !caller.For(venueID) {
		return nil, &refusal{kind: forbidden, cause: errors.New("not among the caller's venues"), caller: caller.Name}
	}
	return next(ctx, req)
}
