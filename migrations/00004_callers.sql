-- +goose Up

-- Who asked for a change, by certificate or token; empty where that is not known, and where nobody asked, as
-- when a hold runs out by itself. Of one that ran out and made way for another booking, it is who asked for that. A constant default changes the catalogue alone, whatever the table's size.
ALTER TABLE booking_events ADD COLUMN caller VARCHAR(255) NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE booking_events DROP COLUMN caller;
