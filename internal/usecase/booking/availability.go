package booking

import (
	"context"
	"errors"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// CheckTableAvailability tells which tables are free of bookings during a slot: each asked table
// once, in the order asked. A hold that has run out counts as free, as a create in its place
// succeeds. A venue whose zone nobody knows has no bookings, so that all its tables are free.
//
// Errors: *dom.ValidationError, *dom.UnavailableError.
func (s *Service) CheckTableAvailability(ctx context.Context, q AvailabilityQuery) (list []TableAvailability, err error) {
	ctx, end := startSpan(ctx, "CheckTableAvailability")
	defer func() { end(err) }()

	tables, slot, err := q.validate()
	if err != nil || len(tables) == 0 {
		return nil, err
	}
	taken, err := s.takenTables(ctx, q.VenueID, tables, slot)
	if err != nil {
		return nil, err
	}
	list = make([]TableAvailability, len(tables))
	for i, id := range tables {
		list[i] = TableAvailability{TableID: id, Available: !taken[id]}
		if taken[id] {
			list[i].Reason = ReasonTaken
		}
	}
	return list, nil
}

func (s *Service) takenTables(ctx context.Context, venueID string, tables []string, slot dom.Slot) (map[string]bool, error) {
	zone, err := s.zone(ctx, venueID)
	var away *dom.UnavailableError
	switch {
	case errors.Is(err, dom.ErrVenueUnknown), errors.As(err, &away) && away.Dependency == dom.Venue:
		return nil, nil
	case err != nil:
		return nil, err
	}
	during, err := slot.Resolve(zone)
	if err != nil {
		var v validation
		v.add("slot.start_time", err.Error())
		return nil, v.err()
	}
	return s.repo.TakenTables(ctx, venueID, tables, during)
}
