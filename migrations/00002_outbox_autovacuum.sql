-- +goose Up

-- Each event is written, marked as sent, and removed a day later: two dead rows each. None of these
-- updates can stay on its page without new index entries (HOT), since the index of what is pending
-- depends on the status. So dead rows are cleared away when there are 10,000, however large the table
-- is, and without pauses; with the server's settings it is a fifth of the table first.
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.02
);

-- Each key is removed after a day.
ALTER TABLE idempotency_keys SET (
    autovacuum_vacuum_scale_factor = 0.02
);

-- A row lives from the create of a booking to its end. What is dead is still visited when a create
-- looks for its table, so that it costs each of them.
ALTER TABLE table_occupancies SET (
    autovacuum_vacuum_scale_factor = 0.02
);

-- +goose Down

ALTER TABLE table_occupancies RESET (autovacuum_vacuum_scale_factor);
ALTER TABLE idempotency_keys RESET (autovacuum_vacuum_scale_factor);
ALTER TABLE outbox RESET (
    autovacuum_vacuum_scale_factor,
    autovacuum_vacuum_threshold,
    autovacuum_vacuum_cost_delay,
    autovacuum_analyze_scale_factor
);
