-- +goose Up

-- Who asked for a change, by certificate or token; empty where that is not known, and where nobody asked, as
-- when a hold runs out. A constant default changes the catalogue alone, whatever the table's size.
ALTER TABLE booking_events ADD COLUMN caller VARCHAR(255) NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE booking_events DROP COLUMN caller;
