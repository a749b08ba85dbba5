// Package venue asks the venue service about venues and their tables.
package venue

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/contract"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// maxReason is how much of the venue's reason is kept, in characters: it is passed on to the client
// in a header.
const maxReason = 200

// Options say how the client behaves. All are required.
type Options struct {
	// Timeout bounds each call to the venue service. A call gets less when the request that needs it
	// has less time left.
	Timeout time.Duration
	// CacheTTL is how long a venue's time zone is not asked for again.
	CacheTTL time.Duration
}

// Client is the dom.VenueClient of the venue service. Make it with NewClient.
type Client struct {
	venues  venuepb.VenueServiceClient
	timeout time.Duration
	zones   *zoneCache
}

var _ dom.VenueClient = (*Client)(nil)

// NewClient makes a client; see Dial for the connection.
func NewClient(conn grpc.ClientConnInterface, o Options) *Client {
	c := &Client{venues: venuepb.NewVenueServiceClient(conn), timeout: o.Timeout}
	c.zones = newZoneCache(o.CacheTTL, o.Timeout, c.fetchZone)
	return c
}

// CheckAvailability lists what the venue can give to the party in the slot. Offers that make no
// sense are left out.
//
// Errors: *dom.UnavailableError.
func (c *Client) CheckAvailability(ctx context.Context, venueID string, slot dom.Slot, partySize int) ([]dom.TableOffer, error) {
	limited, cancel := context.WithTimeout(ctx, timeoutWithin(ctx, c.timeout))
	defer cancel()
	answer, err := c.venues.CheckAvailability(limited, &venuepb.CheckAvailabilityRequest{
		VenueId:   venueID,
		Slot:      contract.Slot(slot),
		PartySize: int32(partySize),
	})
	if err != nil {
		return nil, asDomain(ctx, "check availability", err)
	}
	offers := make([]dom.TableOffer, 0, len(answer.GetTables()))
	for _, t := range answer.GetTables() {
		if offer, ok := readOffer(venueID, t); ok {
			offers = append(offers, offer)
		}
	}
	if dropped := len(answer.GetTables()) - len(offers); dropped > 0 {
		zerolog.Ctx(ctx).Warn().Str("venue_id", venueID).Int("dropped", dropped).Int("kept", len(offers)).
			Msg("Venue service offered tables that make no sense")
	}
	return offers, nil
}

// readOffer answers false for an offer that makes no sense.
func readOffer(venueID string, t *venuepb.TableAvailability) (dom.TableOffer, bool) {
	table, ok := readTable(venueID, t.GetTable())
	if !ok {
		return dom.TableOffer{}, false
	}
	offer := dom.TableOffer{Table: table, Available: t.GetAvailable(), Reason: clean(t.GetReason())}
	if t.GetMergedWithTable() != nil {
		partner, ok := readTable(venueID, t.GetMergedWithTable())
		if !ok || partner.TableID == table.TableID {
			return dom.TableOffer{}, false
		}
		offer.Joined = &partner
	}
	return offer, true
}

// readTable answers false for a table that no booking can be on.
func readTable(venueID string, t *commonpb.TableRef) (dom.TableRef, bool) {
	ok := dom.ValidID(t.GetTableId()) &&
		(t.GetRoomId() == "" || dom.ValidID(t.GetRoomId())) &&
		(t.GetVenueId() == "" || t.GetVenueId() == venueID)
	return dom.TableRef{RoomID: t.GetRoomId(), TableID: t.GetTableId()}, ok
}

// clean makes a text of the venue fit for one line of moderate length.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxReason {
		s = string(runes[:maxReason])
	}
	return strings.TrimSpace(s)
}

// timeoutWithin answers limit, or less, so that a request whose time is short still has some left
// when the call ends without an answer.
func timeoutWithin(ctx context.Context, limit time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(limit, time.Until(deadline)*4/5)
	}
	return limit
}

// asDomain makes an error of a call *dom.UnavailableError, unless the request itself has ended: it
// then stays what it is.
func asDomain(ctx context.Context, call string, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", call, ctxErr)
	}
	return &dom.UnavailableError{Dependency: dom.Venue, Err: fmt.Errorf("%s: %w", call, err)}
}
