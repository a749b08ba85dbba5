package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// SQLSTATE codes and names of constraints that the adapter tells apart.
const (
	uniqueViolation  = "23505"
	deadlockDetected = "40P01"
	undefinedTable   = "42P01"
	undefinedColumn  = "42703"
	readOnly         = "25006"

	keysPrimaryKey = "idempotency_keys_pkey"
)

// asDomain turns an error of the driver into one of the domain: *dom.UnavailableError for whatever
// may pass when tried again later (no connection, a time limit, a deadlock, a server that shuts
// down, lacks resources or has an old schema), and the error itself for all else, which is a fault of this service.
// A request that was cancelled or ran out of time stays what it is.
func asDomain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		if errors.Is(err, ctxErr) {
			return err
		}
		return errors.Join(ctxErr, err)
	}
	var pg *pgconn.PgError
	if connectionLost(err) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &pg) && transient(pg.Code) {
		return &dom.UnavailableError{Dependency: dom.Postgres, Err: err}
	}
	return err
}

// transient tells whether a SQLSTATE speaks of the moment and not of the statement.
func transient(code string) bool {
	if len(code) != 5 {
		return true
	}
	switch code {
	case undefinedTable, undefinedColumn: // a schema that is not migrated yet
		return true
	case readOnly: // a primary that has become a standby
		return true
	}
	switch code[:2] {
	case "08", "53", "57", "58", "40", "55": // connection, resources, operator, system, rollback, lock
		return true
	}
	return false
}

// connectionLost tells whether err means that there is no connection, or that it is gone: it could
// not be made, the network or the driver gave it up, or the server said farewell (57P01 to 57P05). A
// statement that ran out of time is none.
func connectionLost(err error) bool {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	var network net.Error
	switch {
	case errors.As(err, &connect):
		return true
	case errors.As(err, &pg):
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return false
	}
	return pgconn.SafeToRetry(err) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
