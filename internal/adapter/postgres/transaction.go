package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// transaction has no round trips of its own: its begin goes out with the first statements, its commit
// with the last.
type transaction struct {
	// Batch is what is queued and not sent yet.
	pgx.Batch
	conn *pgxpool.Conn
}

// inTx runs fn in a transaction. What fn has queued and not sent goes out with the commit. The
// rollback survives the end of ctx; a failed commit is an error.
func inTx(ctx context.Context, conn *pgxpool.Conn, fn func(*transaction) error) error {
	tx := &transaction{conn: conn}
	tx.Queue(`begin`)
	err := fn(tx)
	if err == nil {
		tx.Queue(`commit`).Exec(func(tag pgconn.CommandTag) error {
			// So the server answers when a statement has failed before.
			if tag.String() == "ROLLBACK" {
				return pgx.ErrTxCommitRollback
			}
			return nil
		})
		err = tx.send(ctx)
	}
	if err != nil && conn.Conn().PgConn().TxStatus() != 'I' {
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		// The pool closes a connection that is still in a transaction, and the server rolls back then.
		_, _ = conn.Exec(rollback, `rollback`)
	}
	return err
}

// send sends what is queued, in one round trip, and reads the answers.
func (tx *transaction) send(ctx context.Context) error {
	queued := tx.Batch
	tx.Batch = pgx.Batch{}
	return tx.conn.SendBatch(ctx, &queued).Close()
}
