package booking

import (
	"context"
	"errors"
	"time"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// zone answers the time zone of a venue: the venue service's answer, new or remembered, else the
// zone of the venue's bookings.
//
// Errors: dom.ErrVenueUnknown, *dom.UnavailableError.
func (s *Service) zone(ctx context.Context, venueID string) (*time.Location, error) {
	name, err := s.venue.TimeZone(ctx, venueID)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		var repoErr error
		name, repoErr = s.repo.VenueZone(ctx, venueID)
		switch {
		case errors.Is(repoErr, dom.ErrNotFound):
			return nil, err
		case repoErr != nil:
			return nil, repoErr
		}
	}
	return dom.LoadZone(name)
}
