-- +goose Up

-- Everybody waits behind who waits for the table: behind a long transaction, as a dump is, this gives up and is
-- to be run again.
SET LOCAL lock_timeout = '3s';
-- Who asked for a change, by certificate or token; empty where that is not known, and where nobody asked, as
-- when a hold runs out by itself. Of one that ran out and made way for another booking, it is who asked for
-- that. A constant default changes the catalogue alone, whatever the table's size.
ALTER TABLE booking_events ADD COLUMN caller VARCHAR(255) NOT NULL DEFAULT '';

-- +goose Down

SET LOCAL lock_timeout = '3s';
ALTER TABLE booking_events DROP COLUMN caller;
