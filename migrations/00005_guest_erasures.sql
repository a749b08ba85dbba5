-- +goose NO TRANSACTION
-- Begun again, should it be broken off: each step looks for what is there.

-- +goose Up

-- That what guests told was erased: of which bookings, when, and why.
CREATE TABLE IF NOT EXISTS guest_erasures (
    id          BIGINT        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    erased_at   TIMESTAMPTZ   NOT NULL DEFAULT now(),
    -- request: a guest wanted it, or an operator; retention: GUEST_DATA_RETENTION was over.
    reason      VARCHAR(50)   NOT NULL CHECK (reason IN ('request', 'retention')),
    booking_ids VARCHAR(36)[] NOT NULL CHECK (cardinality(booking_ids) > 0)
);

-- The bookings that have ended and still tell of their guest, by when they ended. A create has no entry in
-- it, the end of a booking adds one, the erasure removes it. It is built while bookings go on.
DROP INDEX CONCURRENTLY IF EXISTS idx_bookings_guest_data;
CREATE INDEX CONCURRENTLY idx_bookings_guest_data ON bookings (updated_at)
    WHERE status IN ('finished', 'cancelled', 'expired', 'no_show')
        AND (customer_name <> '' OR customer_phone <> '' OR comment <> '');

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS idx_bookings_guest_data;
DROP TABLE IF EXISTS guest_erasures;
