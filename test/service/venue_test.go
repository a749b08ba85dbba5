//go:build integration

package service

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// venue is a venue service that knows one venue, always open.
type venue struct {
	*devstack.Venue
	t *testing.T
	// id is the venue's, of this test alone: the tests share a Redis.
	id string
	// table2 is a table of two that cannot be joined; joinable is one of three tables of four,
	// of which two are needed for jointParty.
	table2, joinable string
	jointParty       int32
}

func newVenue(t *testing.T) *venue {
	t.Helper()
	v := &venue{t: t, id: uuid.NewString(), table2: "table-2", joinable: "table-4a", jointParty: 8}
	place := devstack.Place{
		ID: v.id, Name: "Test", TimeZone: "Europe/Berlin",
		Tables: []devstack.Table{{ID: v.table2, RoomID: "room-1", Name: "2", Capacity: 2}},
	}
	for _, c := range "abc" {
		place.Tables = append(place.Tables, devstack.Table{
			ID: fmt.Sprintf("table-4%c", c), RoomID: "room-1", Name: fmt.Sprintf("4%c", c), Capacity: 4, CanMerge: true,
		})
	}
	var err error
	v.Venue, err = devstack.NewVenue(devstack.VenueOptions{Places: []devstack.Place{place}})
	require.NoError(t, err)
	t.Cleanup(v.Stop)
	return v
}

// slow makes every answer of the venue take so long, and offer table2.
func (v *venue) slow(d time.Duration) {
	v.SetAnswer(func(ctx context.Context, _ *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return &venuepb.CheckAvailabilityResponse{Tables: []*venuepb.TableAvailability{{
			Table: &commonpb.TableRef{VenueId: v.id, RoomId: "room-1", TableId: v.table2}, Available: true,
		}}}, nil
	})
}
