package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/bookingcontrol/booker-booking-svc/test/consistency"
	"github.com/bookingcontrol/booker-booking-svc/test/delivery"
)

// judge ends all replicas in good order and answers what is wrong in the database and in Kafka.
func (r *rollout) judge(ctx context.Context) (problems []string, err error) {
	for len(r.replicas) > 0 {
		if err := r.end(); err != nil {
			return nil, err
		}
	}
	if problems, err = consistency.Violations(ctx, r.db); err != nil {
		return nil, err
	}
	var waiting int
	if err := r.db.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE status <> 'sent'`).Scan(&waiting); err != nil {
		return nil, err
	}
	if waiting > 0 {
		problems = append(problems, fmt.Sprintf("%d events wait after all replicas have ended in good order", waiting))
	}
	rows, err := r.db.Query(ctx, `SELECT id, booking_id, type, version, payload_json::text FROM booking_events ORDER BY booking_id, version`)
	if err != nil {
		return nil, err
	}
	written, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e delivery.Written, err error) {
		var payload string
		err = row.Scan(&e.ID, &e.BookingID, &e.Type, &e.Version, &payload)
		e.Payload = []byte(payload)
		return e, err
	})
	if err != nil {
		return nil, err
	}
	arrived, err := delivery.Read(ctx, r.Brokers...)
	if err != nil {
		return nil, err
	}
	repeats, lost := delivery.Check(written, arrived)
	fmt.Printf("%d events, %d arrived, %d repeats.\n", len(written), len(arrived), repeats)
	return append(problems, lost...), nil
}
