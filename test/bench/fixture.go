package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

const (
	// zone is that of all venues: one without daylight saving, so that each day has twelve sittings.
	zone = "Asia/Tokyo"
	// venues of tablesEach tables take the creates; limit/create.sql gives sittings out in the same way.
	venues, tablesEach = 20, 12
	sitting            = 2 * time.Hour
	// listVenue has listTables tables, all taken for the first ten sittings of firstDay: 500 bookings. It is
	// the only one of its kind, whose venues book numbers.
	listKind, listVenue, listTables = "list-", listKind + "0", 50
	// known is how many bookings there are to get.
	known = 10_000
)

// firstDay is the first day that is booked on.
var firstDay = time.Now().In(time.FixedZone(zone, 9*3600)).AddDate(0, 0, 2)

func places() []devstack.Place {
	place := func(id string, tables int) devstack.Place {
		p := devstack.Place{ID: id, Name: id, TimeZone: zone}
		for i := range tables {
			p.Tables = append(p.Tables, devstack.Table{ID: tableID(i), RoomID: "main", Name: tableID(i), Capacity: 2})
		}
		return p
	}
	all := []devstack.Place{place(listVenue, listTables)}
	for i := range venues {
		all = append(all, place(venueID(i), tablesEach))
	}
	return all
}

func venueID(n int) string { return fmt.Sprintf("bench-%d", n) }
func tableID(n int) string { return fmt.Sprintf("table-%d", n) }

// knownID is the id of one of the bookings to get; limit/get.sql reads the same ones.
func knownID(n int) string { return fmt.Sprintf("019c0000-0000-7000-8000-%012d", n+1) }

// createRequest books the sitting n: the tables in turn, then the next two hours.
func createRequest(n int) *bookingpb.CreateBookingRequest {
	table := n % (venues * tablesEach)
	at := n / (venues * tablesEach)
	return &bookingpb.CreateBookingRequest{
		VenueId: venueID(table / tablesEach), Table: &commonpb.TableRef{TableId: tableID(table % tablesEach)},
		Slot: slot(at), PartySize: 2, CustomerName: "Ada Lovelace", CustomerPhone: "+49 30 1234567",
		Comment: "by the window", AdminId: "admin-1",
	}
}

// slot is the sitting that begins n times two hours after the beginning of firstDay.
func slot(n int) *commonpb.Slot {
	perDay := int(24 * time.Hour / sitting)
	return &commonpb.Slot{
		Date:            firstDay.AddDate(0, 0, n/perDay).Format(time.DateOnly),
		StartTime:       fmt.Sprintf("%02d:00", n%perDay*int(sitting/time.Hour)),
		DurationMinutes: int32(sitting / time.Minute),
	}
}

// book writes bookings of a status and version, numbered from 1, whose ids begin with prefix: of venues in
// turn, then of tables, then every @step hours from day on.
const book = `
INSERT INTO bookings (id, venue_id, room_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone,
	party_size, customer_name, customer_phone, status, comment, admin_id, version)
SELECT @prefix::text || '-0000-7000-8000-' || lpad(n::text, 12, '0'), @venue::text || (n - 1) % @venues::int, 'main',
	'table-' || (n - 1) / @venues::int % @tables::int, s::date, s::time, (s + interval '2 hours')::time,
	s AT TIME ZONE @zone::text, (s + interval '2 hours') AT TIME ZONE @zone::text, @zone::text,
	2, 'Ada Lovelace', '+49 30 1234567', @status::text, 'by the window', 'admin-1', @version::int
FROM generate_series(1, @count::int) n,
	LATERAL (SELECT @day::date + (n - 1) / (@venues::int * @tables::int) * make_interval(hours => @step::int)) AS t(s)`

// fill writes the bookings that are read, as the service would have left them: known ones of two years
// ago, and a venue's day of 500.
func fill(ctx context.Context, db *pgxpool.Pool) error {
	_, err := db.Exec(ctx, book, pgx.NamedArgs{
		"prefix": "019c0000", "venue": "bench-", "venues": venues, "tables": tablesEach, "zone": zone,
		"status": "finished", "version": 4, "count": known, "day": firstDay.AddDate(-2, 0, 0).Format(time.DateOnly), "step": 2,
	})
	if err != nil {
		return err
	}
	if err := fillDay(ctx, db); err != nil {
		return err
	}
	_, err = db.Exec(ctx, `VACUUM ANALYZE`)
	return err
}

// fillDay writes a venue's day of 500 bookings, and the tables that confirmed bookings take.
func fillDay(ctx context.Context, db *pgxpool.Pool) error {
	_, err := db.Exec(ctx, book, pgx.NamedArgs{
		"prefix": "019d0000", "venue": listKind, "venues": 1, "tables": listTables, "zone": zone,
		"status": "confirmed", "version": 2, "count": 500, "day": firstDay.Format(time.DateOnly), "step": 2,
	})
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, `
		INSERT INTO table_occupancies (booking_id, venue_id, table_id, during)
		SELECT id, venue_id, table_id, tstzrange(starts_at, ends_at) FROM bookings WHERE status = 'confirmed'`)
	return err
}
