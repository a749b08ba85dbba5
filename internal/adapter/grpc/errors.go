package grpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// ErrorDomain is the domain of every google.rpc.ErrorInfo of this service.
const ErrorDomain = "booking-svc"

// Reasons in google.rpc.ErrorInfo.
const (
	ReasonKeyReused             = "IDEMPOTENCY_KEY_REUSED"
	ReasonBookingNotFound       = "BOOKING_NOT_FOUND"
	ReasonSlotTaken             = "SLOT_TAKEN"
	ReasonTableUnavailable      = "TABLE_UNAVAILABLE"
	ReasonInvalidTransition     = "INVALID_TRANSITION"
	ReasonHoldExpired           = "HOLD_EXPIRED"
	ReasonDependencyUnavailable = "DEPENDENCY_UNAVAILABLE"
	ReasonCancelled             = "CANCELLED"
	ReasonDeadlineExceeded      = "DEADLINE_EXCEEDED"
	ReasonInternal              = "INTERNAL"
	ReasonUnauthenticated       = "UNAUTHENTICATED"
	ReasonPermissionDenied      = "PERMISSION_DENIED"
	ReasonRateLimited           = "RATE_LIMITED"
	ReasonOverloaded            = "OVERLOADED"
)

const (
	// retryDelay is when a caller may try again while a dependency is away.
	retryDelay = time.Second
	// maxViolations is how many bad fields an answer names. It is more than any request has,
	// unless a list in it is bad throughout. Details travel in a trailer, and many clients refuse
	// one of more than 8 KiB.
	maxViolations = 32
	// maxMessageViolations is how many of them the message tells, for those who do not read
	// details.
	maxMessageViolations = 5
)

// toStatus answers the status of an error that a use case answered. What it does not know becomes
// INTERNAL, without its text; traceID then lets the cause be found in the log.
func toStatus(err error, traceID string) *status.Status {
	// Health and reflection answer status themselves. One that lies deeper comes from a neighbour
	// and says nothing about this call.
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return s.GRPCStatus()
	}

	var (
		invalid    *dom.ValidationError
		transition *dom.TransitionError
		table      *dom.TableUnavailableError
		away       *dom.UnavailableError
		refused    *refusal
	)
	switch {
	case errors.As(err, &refused):
		return refused.status()
	case errors.As(err, &invalid):
		return badRequest(invalid.Violations)
	case errors.Is(err, dom.ErrTimeInGap):
		return badRequest([]dom.FieldViolation{{Field: "slot.start_time", Description: dom.ErrTimeInGap.Error()}})
	case errors.Is(err, dom.ErrKeyReused):
		return withInfo(codes.InvalidArgument, dom.ErrKeyReused.Error(), ReasonKeyReused, nil)
	case errors.Is(err, dom.ErrNotFound):
		return withInfo(codes.NotFound, dom.ErrNotFound.Error(), ReasonBookingNotFound, nil)
	case errors.Is(err, dom.ErrSlotTaken):
		return withInfo(codes.AlreadyExists, dom.ErrSlotTaken.Error(), ReasonSlotTaken, nil)
	case errors.As(err, &table):
		return withInfo(codes.FailedPrecondition, table.Error(), ReasonTableUnavailable, nil)
	case errors.Is(err, dom.ErrVenueUnknown):
		return withInfo(codes.FailedPrecondition, (&dom.TableUnavailableError{}).Error(), ReasonTableUnavailable, nil)
	case errors.As(err, &transition):
		reason := ReasonInvalidTransition
		if transition.HoldExpired {
			reason = ReasonHoldExpired
		}
		return withInfo(codes.FailedPrecondition, transition.Error(), reason, map[string]string{
			"booking_id": transition.BookingID,
			"from":       string(transition.From),
			"to":         string(transition.To),
		})
	// Before the context's errors: a time limit may be why a dependency counts as away.
	case errors.As(err, &away):
		return withInfo(codes.Unavailable,
			fmt.Sprintf("%s is unavailable, try again later", away.Dependency), ReasonDependencyUnavailable,
			map[string]string{"dependency": string(away.Dependency)},
			&errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
	case errors.Is(err, context.Canceled):
		return withInfo(codes.Canceled, "the call was cancelled", ReasonCancelled, nil)
	case errors.Is(err, context.DeadlineExceeded):
		return withInfo(codes.DeadlineExceeded, "the call took too long", ReasonDeadlineExceeded, nil)
	// dom.ErrRecordRejected belongs to the relay: in a call it is a fault like any other.
	default:
		return internal(traceID)
	}
}

// internal is the status of a fault of this service.
func internal(traceID string) *status.Status {
	return withInfo(codes.Internal, "internal error", ReasonInternal, nil, &errdetails.RequestInfo{RequestId: traceID})
}

// badRequest names bad fields. Unlike all others it needs no reason: the fields are the reason.
func badRequest(violations []dom.FieldViolation) *status.Status {
	var message strings.Builder
	message.WriteString("invalid request")
	detail := &errdetails.BadRequest{}
	for i, v := range violations {
		if i == maxViolations {
			break
		}
		detail.FieldViolations = append(detail.FieldViolations,
			&errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
		if i < maxMessageViolations {
			separator := "; "
			if i == 0 {
				separator = ": "
			}
			message.WriteString(separator + v.Field + ": " + v.Description)
		}
	}
	if more := len(violations) - maxMessageViolations; more > 0 {
		fmt.Fprintf(&message, "; and %d more", more)
	}
	return withDetails(status.New(codes.InvalidArgument, message.String()), detail)
}

func withInfo(code codes.Code, message, reason string, metadata map[string]string, more ...protoadapt.MessageV1) *status.Status {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: ErrorDomain, Metadata: metadata}
	return withDetails(status.New(code, message), append([]protoadapt.MessageV1{info}, more...)...)
}

func withDetails(s *status.Status, details ...protoadapt.MessageV1) *status.Status {
	detailed, err := s.WithDetails(details...)
	if err != nil {
		// A text that is no UTF-8 cannot be marshalled; the code matters more than the details.
		return s
	}
	return detailed
}

// statusLabels names each code as the metrics do: ok, or the code in snake case.
var statusLabels = map[codes.Code]string{
	codes.OK:                 "ok",
	codes.Canceled:           "cancelled",
	codes.Unknown:            "unknown",
	codes.InvalidArgument:    "invalid_argument",
	codes.DeadlineExceeded:   "deadline_exceeded",
	codes.NotFound:           "not_found",
	codes.AlreadyExists:      "already_exists",
	codes.PermissionDenied:   "permission_denied",
	codes.ResourceExhausted:  "resource_exhausted",
	codes.FailedPrecondition: "failed_precondition",
	codes.Aborted:            "aborted",
	codes.OutOfRange:         "out_of_range",
	codes.Unimplemented:      "unimplemented",
	codes.Internal:           "internal",
	codes.Unavailable:        "unavailable",
	codes.DataLoss:           "data_loss",
	codes.Unauthenticated:    "unauthenticated",
}

// statusLabel names a code as the metrics do.
func statusLabel(c codes.Code) string {
	if label, ok := statusLabels[c]; ok {
		return label
	}
	return "unknown"
}
