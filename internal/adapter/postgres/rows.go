package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// columns are those of a booking, in the order in which scanBooking reads them.
const columns = `id, venue_id, room_id, table_id, joined_table_ids, joined_room_ids,
	date, start_time, starts_at, ends_at, time_zone, party_size, customer_name, customer_phone,
	status, comment, admin_id, created_at, updated_at, expires_at, version`

// scanBooking reads a row of columns, and more behind them if asked.
func scanBooking(row pgx.Row, more ...any) (*dom.Booking, error) {
	var (
		b                        dom.Booking
		joinedTables, joinedRoom []string
		start                    pgtype.Time
		expires                  *time.Time
	)
	err := row.Scan(append([]any{
		&b.ID, &b.VenueID, &b.Table.RoomID, &b.Table.TableID, &joinedTables, &joinedRoom,
		&b.Slot.Date, &start, &b.Sitting.Start, &b.Sitting.End, &b.TimeZone, &b.PartySize,
		&b.CustomerName, &b.CustomerPhone, &b.Status, &b.Comment, &b.AdminID,
		&b.CreatedAt, &b.UpdatedAt, &expires, &b.Version,
	}, more...)...)
	if err != nil {
		return nil, err
	}
	for i, id := range joinedTables {
		b.Joined = append(b.Joined, dom.TableRef{TableID: id, RoomID: joinedRoom[i]})
	}
	b.Slot.Start = time.Duration(start.Microseconds) * time.Microsecond
	b.Slot.Duration = b.Sitting.End.Sub(b.Sitting.Start)
	if expires != nil {
		b.ExpiresAt = *expires
	}
	return &b, nil
}

func scanBookings(rows pgx.Rows) ([]*dom.Booking, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*dom.Booking, error) {
		return scanBooking(row)
	})
}

// endTime is the local time of day at which the sitting ends, past midnight or not. The zone was
// valid when the sitting was resolved.
func endTime(b *dom.Booking) (pgtype.Time, error) {
	zone, err := dom.LoadZone(b.TimeZone)
	if err != nil {
		return pgtype.Time{}, err
	}
	end := b.Sitting.End.In(zone)
	return timeOfDay(time.Duration(end.Hour())*time.Hour + time.Duration(end.Minute())*time.Minute), nil
}

func timeOfDay(d time.Duration) pgtype.Time {
	return pgtype.Time{Microseconds: d.Microseconds(), Valid: true}
}
