package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// SQLSTATE codes that the adapter tells apart.
const (
	uniqueViolation  = "23505"
	deadlockDetected = "40P01"
	lockNotAvailable = "55P03"
	queryCanceled    = "57014"
)

// asDomain turns an error of the driver into one of the domain: *dom.UnavailableError for whatever
// may pass when tried again later (no connection, a time limit, a deadlock, a server that shuts
// down or lacks resources), and the error itself for all else, which is a fault of this service.
// A request that was cancelled or ran out of time stays what it is.
func asDomain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil && !errors.Is(err, ctxErr) {
		return errors.Join(ctxErr, err)
	} else if ctxErr != nil {
		return err
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || transient(pg.Code) {
		return &dom.UnavailableError{Dependency: dom.Postgres, Err: err}
	}
	return err
}

// transient tells whether a SQLSTATE speaks of the moment and not of the statement.
func transient(code string) bool {
	if len(code) != 5 {
		return true
	}
	switch code[:2] {
	case "08", "53", "57", "58", "40", "55": // connection, resources, operator, system, rollback, lock
		return true
	}
	return false
}

// outcomeUnknown tells whether a statement that failed with err may have been committed all the
// same: the server did not say that it failed.
func outcomeUnknown(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// The server ends the session (57P01 to 57P03) possibly after the commit.
		return strings.HasPrefix(pg.Code, "57") && pg.Code != queryCanceled
	}
	return !pgconn.SafeToRetry(err)
}
