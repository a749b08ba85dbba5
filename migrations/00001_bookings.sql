-- +goose Up

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- One row a booking. date, start_time and end_time are the sitting as its guests read it, in the
-- venue's local time; starts_at and ends_at are the same as instants and decide about overlap.
CREATE TABLE bookings (
    id               VARCHAR(36)  PRIMARY KEY,
    venue_id         VARCHAR(36)  NOT NULL,
    room_id          VARCHAR(36)  NOT NULL DEFAULT '',
    table_id         VARCHAR(36)  NOT NULL,
    -- The other tables of the party, and their rooms at the same positions.
    joined_table_ids VARCHAR(36)[] NOT NULL DEFAULT '{}',
    joined_room_ids  VARCHAR(36)[] NOT NULL DEFAULT '{}',
    date             DATE         NOT NULL,
    start_time       TIME         NOT NULL,
    end_time         TIME         NOT NULL,
    starts_at        TIMESTAMPTZ  NOT NULL,
    ends_at          TIMESTAMPTZ  NOT NULL,
    -- The venue's zone when the booking was made; a venue that changes its zone moves no booking.
    time_zone        VARCHAR(64)  NOT NULL,
    party_size       INTEGER      NOT NULL CHECK (party_size > 0),
    customer_name    VARCHAR(255) NOT NULL,
    customer_phone   VARCHAR(50)  NOT NULL DEFAULT '',
    status           VARCHAR(50)  NOT NULL
        CHECK (status IN ('held', 'confirmed', 'seated', 'finished', 'cancelled', 'expired', 'no_show')),
    comment          TEXT         NOT NULL DEFAULT '',
    admin_id         VARCHAR(36)  NOT NULL DEFAULT '',
    created_at       TIMESTAMPTZ  NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ  NOT NULL DEFAULT now(),
    expires_at       TIMESTAMPTZ,
    -- 1, 2, …: one for each change.
    version          INTEGER      NOT NULL DEFAULT 1,
    CHECK (starts_at < ends_at),
    CHECK ((status = 'held') = (expires_at IS NOT NULL)),
    CHECK (cardinality(joined_table_ids) = cardinality(joined_room_ids))
);

CREATE INDEX idx_bookings_venue_date ON bookings (venue_id, date, start_time);
CREATE INDEX idx_bookings_table_date ON bookings (table_id, date, start_time);
CREATE INDEX idx_bookings_status ON bookings (status) WHERE status IN ('held', 'confirmed', 'seated');
CREATE INDEX idx_bookings_expires_at ON bookings (expires_at) WHERE status = 'held';
CREATE INDEX idx_bookings_joined_tables ON bookings USING gin (joined_table_ids)
    WHERE joined_table_ids <> '{}';

-- A row exists exactly while a booking takes a table. The exclusion constraint is what keeps a
-- table from being sold twice; an empty range would slip through it.
CREATE TABLE table_occupancies (
    -- Deferred: the tables are taken before the booking is written.
    booking_id VARCHAR(36) NOT NULL REFERENCES bookings (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    venue_id   VARCHAR(36) NOT NULL,
    table_id   VARCHAR(36) NOT NULL,
    during     TSTZRANGE   NOT NULL CHECK (NOT isempty(during)),
    PRIMARY KEY (booking_id, table_id),
    CONSTRAINT table_occupancies_no_overlap
        EXCLUDE USING gist (venue_id WITH =, table_id WITH =, during WITH &&)
);

-- The audit log: one row for each change of a booking.
CREATE TABLE booking_events (
    id           VARCHAR(36) PRIMARY KEY,
    booking_id   VARCHAR(36) NOT NULL REFERENCES bookings (id) ON DELETE CASCADE,
    version      INTEGER     NOT NULL,
    type         VARCHAR(50) NOT NULL,
    payload_json JSONB,
    ts           TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (booking_id, version)
);

-- Events on their way to Kafka. A booking's events are inserted while its row is locked, so the
-- order of ids is the order of commits within a booking.
CREATE TABLE outbox (
    id              BIGINT       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Hash of the key modulo 64: each shard has one relay at a time.
    shard           SMALLINT     NOT NULL CHECK (shard BETWEEN 0 AND 63),
    topic           VARCHAR(255) NOT NULL,
    key             VARCHAR(255) NOT NULL,
    payload         BYTEA        NOT NULL,
    event_id        VARCHAR(36)  NOT NULL,
    booking_version INTEGER      NOT NULL,
    -- W3C trace context of the request that caused the event; may be empty.
    traceparent     VARCHAR(64)  NOT NULL DEFAULT '',
    status          VARCHAR(50)  NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'dlq')),
    retry_count     INTEGER      NOT NULL DEFAULT 0,
    last_error      TEXT         NOT NULL DEFAULT '',
    created_at      TIMESTAMPTZ  NOT NULL DEFAULT now(),
    sent_at         TIMESTAMPTZ
);

CREATE INDEX idx_outbox_pending ON outbox (shard, id) WHERE status = 'pending';
CREATE INDEX idx_outbox_dlq ON outbox (id) WHERE status = 'dlq';

-- Who relays which shard, until when by this database's clock. The epoch rises with each change of
-- the owner; marking an event as sent requires it.
CREATE TABLE outbox_leases (
    shard        SMALLINT    PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
    owner        VARCHAR(64) NOT NULL DEFAULT '',
    epoch        BIGINT      NOT NULL DEFAULT 0,
    leased_until TIMESTAMPTZ NOT NULL DEFAULT '-infinity'
);
INSERT INTO outbox_leases (shard) SELECT generate_series(0, 63);

-- The relays that are alive, so that they can share the shards out evenly.
CREATE TABLE outbox_relays (
    owner       VARCHAR(64) PRIMARY KEY,
    alive_until TIMESTAMPTZ NOT NULL
);

-- What was already answered for a key, so that a request can be repeated.
CREATE TABLE idempotency_keys (
    venue_id     VARCHAR(36)  NOT NULL,
    key          VARCHAR(128) NOT NULL,
    -- SHA-256 of the request's normalised fields.
    request_hash BYTEA        NOT NULL,
    booking_id   VARCHAR(36)  NOT NULL REFERENCES bookings (id) ON DELETE CASCADE,
    created_at   TIMESTAMPTZ  NOT NULL DEFAULT now(),
    PRIMARY KEY (venue_id, key)
);

CREATE INDEX idx_idempotency_keys_created_at ON idempotency_keys (created_at);

-- +goose Down

DROP TABLE idempotency_keys, outbox_relays, outbox_leases, outbox, booking_events, table_occupancies, bookings;
