package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// sabotages break the service on purpose, in its database: the checkers must report each.
var sabotages = map[string]string{
	// The constraint keeps its name, which the service's statements need, and keeps nothing apart.
	"overlap": `
		ALTER TABLE table_occupancies DROP CONSTRAINT table_occupancies_no_overlap;
		ALTER TABLE table_occupancies ADD CONSTRAINT table_occupancies_no_overlap
			EXCLUDE USING gist (booking_id WITH =, venue_id WITH =, table_id WITH =, during WITH &&)`,
	// One confirmation in ten is acknowledged and not written.
	"lost write": `
		CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
			IF NEW.status = ''confirmed'' AND random() < 0.1 THEN RETURN NULL; END IF;
			RETURN NEW;
		END';
		CREATE TRIGGER lose BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION lose()`,
	// One booking in a hundred is acknowledged and gone a moment later.
	"lost booking": `
		CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
			IF random() < 0.01 THEN DELETE FROM bookings WHERE id = NEW.id; END IF;
			RETURN NULL;
		END';
		CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON bookings DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION lose()`,
	// One event in a hundred never reaches the outbox.
	"lost event": `
		CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
			IF random() < 0.01 THEN RETURN NULL; END IF;
			RETURN NEW;
		END';
		CREATE TRIGGER lose BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION lose()`,
	// Events of a booking are given ids in the wrong order, now and then.
	"wrong order": `
		CREATE FUNCTION swap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
			IF NEW.booking_version > 1 AND random() < 0.05 THEN NEW.id := NEW.id - 100000; END IF;
			RETURN NEW;
		END';
		CREATE TRIGGER swap BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION swap()`,
}

func sabotage(ctx context.Context, db *pgxpool.Pool, name string) error {
	statement, ok := sabotages[name]
	if !ok {
		return fmt.Errorf("no such sabotage: %q; there are: %s", name, strings.Join(slices.Sorted(maps.Keys(sabotages)), ", "))
	}
	_, err := db.Exec(ctx, statement)
	return err
}
