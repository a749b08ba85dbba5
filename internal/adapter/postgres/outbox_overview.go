package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// OutboxOverview describes the outbox and its relays at one moment.
type OutboxOverview struct {
	// Groups has an entry for each topic and state that some event has, by topic.
	Groups []OutboxGroup
	// Relays are those that live and those that ended without a farewell a short while ago, by owner.
	Relays []OutboxRelay
	// Unowned are the shards that no living relay has, by number: their events wait.
	Unowned []int16
}

// OutboxGroup tells how many events of a topic are in a state.
type OutboxGroup struct {
	Topic  string
	Status dom.OutboxStatus
	Count  int64
	// Oldest is the age of the oldest of them.
	Oldest time.Duration
}

// OutboxRelay is a relay as the database knows it.
type OutboxRelay struct {
	Owner  string
	Shards int
	// Gone is for how long the relay has given no sign of life beyond what was agreed, 0 when it lives.
	Gone time.Duration
}

// Overview counts all events of the outbox.
func (a *OutboxAdmin) Overview(ctx context.Context) (o OutboxOverview, err error) {
	err = a.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if o.Groups, err = outboxGroups(ctx, tx); err != nil {
			return err
		}
		if o.Relays, err = outboxRelays(ctx, tx); err != nil {
			return err
		}
		o.Unowned, err = unownedShards(ctx, tx)
		return err
	})
	if err != nil {
		return OutboxOverview{}, fmt.Errorf("outbox overview: %w", err)
	}
	return o, nil
}

func outboxGroups(ctx context.Context, tx pgx.Tx) ([]OutboxGroup, error) {
	rows, err := tx.Query(ctx, `
		SELECT topic, status, count(*), greatest(0, extract(epoch FROM now() - min(created_at)))::float8
		FROM outbox GROUP BY topic, status ORDER BY topic, status`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g OutboxGroup, err error) {
		var oldest float64
		err = row.Scan(&g.Topic, &g.Status, &g.Count, &oldest)
		g.Oldest = seconds(oldest)
		return g, err
	})
}

func outboxRelays(ctx context.Context, tx pgx.Tx) ([]OutboxRelay, error) {
	rows, err := tx.Query(ctx, `
		SELECT owner, coalesce(l.shards, 0)::int, greatest(0, extract(epoch FROM now() - r.alive_until))::float8
		FROM outbox_relays r FULL JOIN (
			SELECT owner, count(*) AS shards FROM outbox_leases
			WHERE owner <> '' AND leased_until > now() GROUP BY owner
		) l USING (owner) ORDER BY owner`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r OutboxRelay, err error) {
		var gone float64
		err = row.Scan(&r.Owner, &r.Shards, &gone)
		r.Gone = seconds(gone)
		return r, err
	})
}

func unownedShards(ctx context.Context, tx pgx.Tx) ([]int16, error) {
	rows, err := tx.Query(ctx, `
		SELECT s.shard::smallint FROM generate_series(0, $1::int - 1) AS s (shard)
		WHERE NOT EXISTS (
			SELECT FROM outbox_leases l WHERE l.shard = s.shard AND l.owner <> '' AND l.leased_until > now())
		ORDER BY s.shard`, dom.Shards)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int16])
}
