package grpc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

const secret = "the cause, for the log only"

// mapping is what becomes of an error.
type mapping struct {
	// name is the error's in the domain package, empty for one from elsewhere.
	name     string
	err      error
	code     codes.Code
	message  string
	reason   string
	metadata map[string]string
	fields   map[string]string
	level    string
}

var mappings = []mapping{
	{
		name: "ErrNotFound", err: dom.ErrNotFound,
		code: codes.NotFound, reason: "BOOKING_NOT_FOUND", message: "booking not found", level: "info",
	},
	{
		name: "ErrSlotTaken", err: dom.ErrSlotTaken,
		code: codes.AlreadyExists, reason: "SLOT_TAKEN", message: "the table is already booked for this time slot", level: "info",
	},
	{
		name: "ErrKeyReused", err: dom.ErrKeyReused,
		code: codes.InvalidArgument, reason: "IDEMPOTENCY_KEY_REUSED", message: "the idempotency key was used for another request", level: "info",
	},
	{
		name: "ErrVenueUnknown", err: dom.ErrVenueUnknown,
		code: codes.FailedPrecondition, reason: "TABLE_UNAVAILABLE",
		message: "the venue does not offer this table for this party and slot", level: "info",
	},
	{
		name: "TableUnavailableError", err: &dom.TableUnavailableError{Reason: "closed on Mondays"},
		code: codes.FailedPrecondition, reason: "TABLE_UNAVAILABLE",
		message: "the venue does not offer this table for this party and slot: closed on Mondays", level: "info",
	},
	{
		name: "TransitionError", err: &dom.TransitionError{BookingID: "id-1", From: dom.StatusSeated, To: dom.StatusConfirmed},
		code: codes.FailedPrecondition, reason: "INVALID_TRANSITION",
		metadata: map[string]string{"booking_id": "id-1", "from": "seated", "to": "confirmed"},
		message:  "the booking cannot go from seated to confirmed", level: "info",
	},
	{
		name: "TransitionError", err: &dom.TransitionError{BookingID: "id-1", From: dom.StatusHeld, To: dom.StatusConfirmed, HoldExpired: true},
		code: codes.FailedPrecondition, reason: "HOLD_EXPIRED",
		metadata: map[string]string{"booking_id": "id-1", "from": "held", "to": "confirmed"},
		message:  "the hold has expired: the booking cannot go from held to confirmed", level: "info",
	},
	{
		name: "ValidationError", err: &dom.ValidationError{Violations: []dom.FieldViolation{
			{Field: "venue_id", Description: "is required"}, {Field: "slot.date", Description: "must be a calendar date"},
		}},
		code: codes.InvalidArgument, message: "invalid request: venue_id: is required; slot.date: must be a calendar date",
		fields: map[string]string{"venue_id": "is required", "slot.date": "must be a calendar date"}, level: "info",
	},
	{
		name: "ErrTimeInGap", err: dom.ErrTimeInGap,
		code:    codes.InvalidArgument,
		message: "invalid request: slot.start_time: this local time does not exist: the clocks are put forward over it",
		fields:  map[string]string{"slot.start_time": "this local time does not exist: the clocks are put forward over it"}, level: "info",
	},
	{
		name: "UnavailableError", err: &dom.UnavailableError{Dependency: dom.Postgres, Err: errors.New(secret)},
		code: codes.Unavailable, reason: "DEPENDENCY_UNAVAILABLE", metadata: map[string]string{"dependency": "postgres"},
		message: "postgres is unavailable, try again later", level: "warn",
	},
	{
		name: "UnavailableError", err: &dom.UnavailableError{Dependency: dom.Venue, Err: context.DeadlineExceeded},
		code: codes.Unavailable, reason: "DEPENDENCY_UNAVAILABLE", metadata: map[string]string{"dependency": "venue"},
		message: "venue is unavailable, try again later", level: "warn",
	},
	{
		name: "UnavailableError", err: &dom.UnavailableError{Dependency: dom.Venue, Err: status.Error(codes.Unknown, secret)},
		code: codes.Unavailable, reason: "DEPENDENCY_UNAVAILABLE", metadata: map[string]string{"dependency": "venue"},
		message: "venue is unavailable, try again later", level: "warn",
	},
	{
		name: "ErrRecordRejected", err: dom.ErrRecordRejected,
		code: codes.Internal, reason: "INTERNAL", message: "internal error", level: "error",
	},
	{err: context.Canceled, code: codes.Canceled, reason: "CANCELLED", message: "the call was cancelled", level: "info"},
	{err: context.DeadlineExceeded, code: codes.DeadlineExceeded, reason: "DEADLINE_EXCEEDED", message: "the call took too long", level: "warn"},
	{err: errors.Join(context.Canceled, errors.New(secret)), code: codes.Canceled, reason: "CANCELLED", message: "the call was cancelled", level: "info"},
	{err: errors.New(secret), code: codes.Internal, reason: "INTERNAL", message: "internal error", level: "error"},
	{
		err:  fmt.Errorf("outer: %w", status.Error(codes.NotFound, secret)),
		code: codes.Internal, reason: "INTERNAL", message: "internal error", level: "error",
	},
}

// Each error goes through a real server, plain and wrapped.
func TestErrorsRoundTrip(t *testing.T) {
	t.Parallel()
	var answer error
	s := start(t, &fake{get: func(context.Context, string) (*dom.Booking, error) { return nil, answer }})
	for _, m := range mappings {
		for _, answer = range []error{m.err, fmt.Errorf("get booking: %w", m.err)} {
			_, err := s.GetBooking(t.Context(), &bookingpb.GetBookingRequest{Id: "id-1"})
			got := status.Convert(err)
			require.Equal(t, m.code, got.Code(), "%v", answer)
			require.Equal(t, m.message, got.Message(), "%v", answer)
			require.NotContains(t, got.String(), secret)

			var info *errdetails.ErrorInfo
			var retry *errdetails.RetryInfo
			var request *errdetails.RequestInfo
			var fields map[string]string
			for _, d := range got.Details() {
				switch d := d.(type) {
				case *errdetails.ErrorInfo:
					info = d
				case *errdetails.RetryInfo:
					retry = d
				case *errdetails.RequestInfo:
					request = d
				case *errdetails.BadRequest:
					fields = map[string]string{}
					for _, v := range d.GetFieldViolations() {
						fields[v.GetField()] = v.GetDescription()
					}
				default:
					t.Fatalf("unexpected detail %v", d)
				}
			}
			require.Equal(t, m.fields, fields, "%v", answer)
			if m.reason == "" {
				require.Nil(t, info, "%v", answer)
			} else {
				require.Equal(t, "booking-svc", info.GetDomain(), "%v", answer)
				require.Equal(t, m.reason, info.GetReason(), "%v", answer)
				require.Equal(t, m.metadata, info.GetMetadata(), "%v", answer)
			}
			require.Equal(t, m.code == codes.Unavailable, retry != nil, "%v", answer)
			require.Equal(t, m.code == codes.Internal, request != nil, "%v", answer)
			if retry != nil {
				require.Equal(t, time.Second, retry.GetRetryDelay().AsDuration())
			}

			lines := s.log.calls(t)
			line := lines[len(lines)-1]
			require.Equal(t, m.level, line["level"], "%v", answer)
			require.Equal(t, statusLabel(m.code), line["status"])
			if m.reason == "" {
				require.NotContains(t, line, "reason")
			} else {
				require.Equal(t, m.reason, line["reason"])
			}
			if m.level == "info" {
				require.Equal(t, m.message, line["error"])
			} else {
				require.Equal(t, answer.Error(), line["error"], "the cause is in the log")
			}
			if request != nil {
				require.Equal(t, request.GetRequestId(), line["trace_id"])
			}
		}
	}
}

// Every error that the domain package exports has its status. The default is for what comes from
// elsewhere.
func TestEveryDomainErrorIsMapped(t *testing.T) {
	t.Parallel()
	mapped := map[string]bool{}
	for _, m := range mappings {
		mapped[m.name] = true
	}
	names := exportedErrors(t, "../../domain/booking")
	require.Contains(t, names, "ErrSlotTaken")
	require.Contains(t, names, "UnavailableError")
	for _, name := range names {
		require.True(t, mapped[name], "domain error %s: say in errors.go and here what becomes of it", name)
	}
}

// exportedErrors lists the exported variables Err… and types …Error of a package.
func exportedErrors(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				return false
			case *ast.ValueSpec:
				for _, name := range n.Names {
					if strings.HasPrefix(name.Name, "Err") {
						names = append(names, name.Name)
					}
				}
			case *ast.TypeSpec:
				if n.Name.IsExported() && strings.HasSuffix(n.Name.Name, "Error") {
					names = append(names, n.Name.Name)
				}
			}
			return true
		})
	}
	return names
}

// A status that a handler of grpc's own answers stays as it is.
func TestStatusOfHealthAndReflectionStays(t *testing.T) {
	t.Parallel()
	s := toStatus(status.Error(codes.NotFound, "unknown service"), "")
	require.Equal(t, codes.NotFound, s.Code())
	require.Equal(t, "unknown service", s.Message())
}

func TestManyViolationsFitATrailer(t *testing.T) {
	t.Parallel()
	var violations []dom.FieldViolation
	for i := range 1000 {
		violations = append(violations, dom.FieldViolation{
			Field:       fmt.Sprintf("table_ids[%d]", i),
			Description: "must be 1 to 36 characters of letters, digits, '.', '_' and '-'",
		})
	}
	s := start(t, &fake{get: func(context.Context, string) (*dom.Booking, error) {
		return nil, &dom.ValidationError{Violations: violations}
	}})
	_, err := s.GetBooking(t.Context(), &bookingpb.GetBookingRequest{})
	got := status.Convert(err)
	require.Equal(t, codes.InvalidArgument, got.Code())
	require.Contains(t, got.Message(), "table_ids[4]: ")
	require.True(t, strings.HasSuffix(got.Message(), "; and 995 more"), got.Message())
	bad, ok := got.Details()[0].(*errdetails.BadRequest)
	require.True(t, ok)
	require.Len(t, bad.GetFieldViolations(), 32)
	detail, err := proto.Marshal(got.Proto())
	require.NoError(t, err)
	require.Less(t, base64.StdEncoding.EncodedLen(len(detail))+len(got.Message()), 8000,
		"many clients refuse headers of more than 8 KiB")
}

func TestEveryCodeHasALabel(t *testing.T) {
	t.Parallel()
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		require.Contains(t, statusLabels, c)
	}
	require.Equal(t, "already_exists", statusLabel(codes.AlreadyExists))
	require.Equal(t, "unknown", statusLabel(codes.Code(99)))
}
