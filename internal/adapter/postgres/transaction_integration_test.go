//go:build integration

package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// However a transaction fails, its connection is out of it afterwards, and still there.
func TestFailedTransactionsEnd(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(ctx, `
		CREATE TABLE late (x int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
		INSERT INTO late VALUES (1)`)
	require.NoError(t, err)
	fault := errors.New("a fault")
	ended, end := context.WithCancel(ctx)
	for name, test := range map[string]struct {
		fn   func(*transaction) error
		want any
	}{
		"before it began": {func(*transaction) error { return fault }, fault},
		"by a decision": {func(tx *transaction) error {
			tx.Queue(`INSERT INTO late VALUES (2)`)
			require.NoError(t, tx.send(ctx))
			return fault
		}, fault},
		"when its caller has gone": {func(tx *transaction) error {
			tx.Queue(`INSERT INTO late VALUES (2)`)
			require.NoError(t, tx.send(ctx))
			end()
			return fault
		}, fault},
		"by its first statement": {func(tx *transaction) error {
			tx.Queue(`SELECT 1/0`)
			return tx.send(ctx)
		}, "22012"},
		"by a statement that cannot be prepared": {func(tx *transaction) error {
			tx.Queue(`SELECT nothing`)
			return tx.send(ctx)
		}, undefinedColumn},
		"by how an answer is read": {func(tx *transaction) error {
			tx.Queue(`INSERT INTO late VALUES (2) RETURNING x`).QueryRow(func(pgx.Row) error { return fault })
			return tx.send(ctx)
		}, fault},
		"by its last statement": {func(tx *transaction) error {
			tx.Queue(`INSERT INTO late VALUES (2)`)
			require.NoError(t, tx.send(ctx))
			tx.Queue(`SELECT 1/0`)
			return nil
		}, "22012"},
		"by its commit": {func(tx *transaction) error {
			tx.Queue(`INSERT INTO late VALUES (1)`)
			return nil
		}, uniqueViolation},
		"before a commit that only rolls back": {func(tx *transaction) error {
			tx.Queue(`SELECT 1/0`)
			require.Error(t, tx.send(ctx))
			return nil
		}, pgx.ErrTxCommitRollback},
	} {
		ctx := ctx
		if name == "when its caller has gone" {
			ctx = ended
		}
		err := inTx(ctx, conn, test.fn)
		if want, ok := test.want.(error); ok {
			require.ErrorIs(t, err, want, name)
		} else {
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg, name)
			require.Equal(t, test.want, pg.Code, name)
		}
		require.Equal(t, byte('I'), conn.Conn().PgConn().TxStatus(), name)
		var rows int
		require.NoError(t, conn.QueryRow(context.Background(), `SELECT count(*) FROM late`).Scan(&rows), name)
		require.Equal(t, 1, rows, name)
	}
	require.NoError(t, inTx(ctx, conn, func(tx *transaction) error {
		tx.Queue(`INSERT INTO late VALUES (2)`)
		return nil
	}))
}

// A change whose write or commit is refused has not been made, and its caller hears so.
func TestRefusedChange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := configuredPool(t, func(cfg *pgxpool.Config) { cfg.MaxConns = 1 })
	repo := newRepository(pool)
	n := bookingtest.New("v", "t1", 0)
	_, err := repo.CreateBooking(ctx, n)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$`)
	require.NoError(t, err)
	for _, trigger := range []string{
		`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON booking_events FOR EACH ROW EXECUTE FUNCTION refuse()`,
		`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON booking_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`,
	} {
		_, err = pool.Exec(ctx, trigger)
		require.NoError(t, err)
		_, _, err = repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: dom.StatusConfirmed})
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "P0001", pg.Code)
		b, err := repo.GetBooking(ctx, n.Booking.ID)
		require.NoError(t, err)
		require.Equal(t, dom.StatusHeld, b.Status)
		_, err = pool.Exec(ctx, `DROP TRIGGER refuse ON booking_events`)
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, pool.Stat().NewConnsCount(), "no connection had to be closed")
	_, changed, err := repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: dom.StatusConfirmed})
	require.NoError(t, err)
	require.True(t, changed)
	testenv.RequireConsistent(t, pool)
}
