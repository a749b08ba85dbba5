package grpc

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// kind is why a call is refused before a use case sees it.
type kind struct {
	code            codes.Code
	message, reason string
}

// The kinds. Their messages say no more than that.
var (
	unauthenticated = kind{codes.Unauthenticated, "the caller is not known", ReasonUnauthenticated}
	forbidden       = kind{codes.PermissionDenied, "the caller may not do this", ReasonPermissionDenied}
	tooOften        = kind{codes.ResourceExhausted, "the caller calls too often", ReasonRateLimited}
	tooMany         = kind{codes.ResourceExhausted, "too many calls at a time", ReasonOverloaded}
)

// refusal is the error of a call that is refused before a use case sees it.
type refusal struct {
	kind
	// retryAfter is when the call may be tried again; 0 for not at all.
	retryAfter time.Duration
	// cause and caller are for the log alone.
	cause  error
	caller string
}

func (r *refusal) Error() string { return r.message }

func (r *refusal) status() *status.Status {
	if r.retryAfter == 0 {
		return withInfo(r.code, r.message, r.reason, nil)
	}
	return withInfo(r.code, r.message, r.reason, nil, &errdetails.RetryInfo{RetryDelay: durationpb.New(r.retryAfter)})
}
