package grpc

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// requestIDHeader carries a request's id in both directions.
const requestIDHeader = "x-request-id"

// maxRequestID is the longest id that is taken from a client, in characters.
const maxRequestID = 64

// answerGrace is how long after a call's time is over its handler is still waited for.
const answerGrace = 100 * time.Millisecond

type interceptors struct {
	Options
	handlers crew
	// bookings are served, and tell which venue a booking is of.
	bookings bookingpb.BookingServiceServer

	// slow tells about which slow calls there is a line.
	slow *zerolog.BurstSampler

	calls, availability *gate
	rates               *rates
}

// observe is the outermost interceptor. It gives the request its id and its logger, which every line
// of the request goes through (zerolog.Ctx), turns the error into a status, counts the call and
// writes one line about it:
//
//   - DEBUG for ok;
//   - DEBUG for a call too many, of which there may be thousands: the metrics count them;
//   - INFO for a refusal that the client can see the reason of, or for one of somebody who may not call;
//   - WARN when a dependency was away or time ran out;
//   - ERROR for a fault of this service.
//
// A call that took long, whatever came of it, has a second line, WARN.
//
// The line holds no part of the request: that may name a guest.
func (i interceptors) observe(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	start := time.Now()
	method := path.Base(info.FullMethod)
	requestID := requestIDOf(ctx)
	traceID := requestID
	with := i.Logger.With().Str("request_id", requestID).Str("method", method)
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		traceID = span.TraceID().String()
		with = with.Str("trace_id", traceID)
	}
	log := with.Logger()
	// It fails only when the header was sent, which no call of one answer does early.
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, requestID))

	resp, err := next(log.WithContext(ctx), req)
	if err == nil {
		i.Metrics.ObserveCall(method, statusLabel(codes.OK), start)
		i.noteSlow(&log, codes.OK, start)
		log.Debug().Str("status", statusLabel(codes.OK)).Dur("duration_ms", time.Since(start)).Msg("gRPC call")
		return resp, nil
	}
	s := toStatus(err, traceID)
	i.Metrics.ObserveCall(method, statusLabel(s.Code()), start)
	i.noteSlow(&log, s.Code(), start)
	logFailure(&log, s, err, start)
	return nil, s.Err()
}

// noteSlow writes a line about a call that took long.
func (i interceptors) noteSlow(log *zerolog.Logger, code codes.Code, start time.Time) {
	if i.SlowCall == 0 {
		return
	}
	// Not thousands of lines a second, when all are slow.
	if took := time.Since(start); took >= i.SlowCall && i.slow.Sample(zerolog.WarnLevel) {
		log.Warn().Str("status", statusLabel(code)).Dur("duration_ms", took).Msg("Slow gRPC call")
	}
}

// logFailure writes the line about a call that failed. The cause is logged when the client is not
// told it.
func logFailure(log *zerolog.Logger, s *status.Status, cause error, start time.Time) {
	var line *zerolog.Event
	switch s.Code() {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		line = log.Error().Err(cause)
	case codes.Unavailable, codes.DeadlineExceeded:
		line = log.Warn().Err(cause)
	case codes.ResourceExhausted:
		line = log.Debug().Str("error", s.Message())
	default:
		line = log.Info().Str("error", s.Message())
	}
	var refused *refusal
	if errors.As(cause, &refused) {
		if refused.cause != nil {
			line.Str("cause", shorten(refused.cause.Error()))
		}
		if refused.caller != "" {
			line.Str("caller", refused.caller)
		}
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			line.Str("reason", info.GetReason())
		}
	}
	var p *panicError
	if errors.As(cause, &p) {
		line.Bytes("stack", p.stack)
	}
	line.Str("status", statusLabel(s.Code())).Dur("duration_ms", time.Since(start)).Msg("gRPC call")
}

// maxCause is how much of a cause is logged that a stranger may have written, in bytes.
const maxCause = 200

func shorten(text string) string {
	if len(text) <= maxCause {
		return text
	}
	return strings.ToValidUTF8(text[:maxCause], "") + "…"
}

// requestIDOf answers the client's id of the request if it is fit for a log and a header, else a new
// one.
func requestIDOf(ctx context.Context) string {
	if ids := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(ids) == 1 && saneRequestID(ids[0]) {
		return ids[0]
	}
	return uuid.Must(uuid.NewV7()).String()
}

// saneRequestID tells whether id is 1 to 64 visible characters of ASCII.
func saneRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

// limit lets no more calls in than are served at a time, gives each the server's deadline, unless the
// client's is nearer, and answers when it is over, whatever the handler still does: a change that is under
// way is not broken off, as its outcome would be unknown, and with a slow database it takes longer than a
// call may.
func (i interceptors) limit(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	door := i.calls
	switch {
	case info.FullMethod == bookingpb.BookingService_CheckTableAvailability_FullMethodName:
		door = i.availability
	case !ofBookings(info.FullMethod):
		door = nil // Health: who is asked too much is healthy.
	}
	if !door.enter() {
		return nil, &refusal{kind: tooMany, retryAfter: retryDelay}
	}
	ctx, cancel := context.WithTimeout(ctx, i.RequestTimeout)
	start := time.Now()
	type outcome struct {
		resp any
		err  error
	}
	ended := make(chan outcome, 1)
	left := make(chan struct{})
	i.handlers.run(func() {
		defer cancel()
		resp, err := next(ctx, req)
		door.leave() // It is inside for as long as it works, and not when its caller comes again.
		ended <- outcome{resp, err}
		select {
		case <-left:
			zerolog.Ctx(ctx).Warn().Err(err).Dur("duration_ms", time.Since(start)).Str("method", path.Base(info.FullMethod)).
				Msg("gRPC call went on after its answer")
		default:
		}
	})
	select {
	case o := <-ended:
		return o.resp, o.err
	case <-ctx.Done():
	}
	// A handler that heeds the end of its time knows better why it could not answer.
	grace := time.NewTimer(answerGrace)
	defer grace.Stop()
	select {
	case o := <-ended:
		return o.resp, o.err
	case <-grace.C:
		close(left)
		return nil, ctx.Err()
	}
}

// panicError is what a handler panicked with.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// recoverUnary makes a panic an error, which no one but the log is told.
func recoverUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if v := recover(); v != nil {
			resp, err = nil, &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return next(ctx, req)
}

// recoverStream does the same for the streams of health and reflection.
func recoverStream(log zerolog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		defer func() {
			if v := recover(); v != nil {
				p := &panicError{value: v, stack: debug.Stack()}
				log.Error().Err(p).Bytes("stack", p.stack).Str("method", path.Base(info.FullMethod)).Msg("gRPC stream")
				err = internal("").Err()
			}
		}()
		return next(srv, stream)
	}
}
