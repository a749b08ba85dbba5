package devstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// callbackTimeout bounds a call back to the booking service.
const callbackTimeout = 3 * time.Second

// VenueOptions say what a venue service knows.
type VenueOptions struct {
	// Addr is the address to listen on, host:port; empty for a free port of 127.0.0.1.
	Addr string
	// BookingAddr is the address of the booking service, which is asked for free tables; empty
	// for none, every table is free then. It need not be there yet.
	BookingAddr string
	// Places are the venues; nil for DemoPlace alone.
	Places []Place
}

// Venue is a venue service that answers as the real one does. Its methods may be called at any
// time, by any goroutine.
type Venue struct {
	venuepb.UnimplementedVenueServiceServer

	addr    string
	server  *grpc.Server
	served  chan struct{}
	started time.Time

	mu      sync.Mutex
	places  map[string]*Place
	conn    *grpc.ClientConn
	free    bool
	answer  AvailabilityAnswer
	checked int
}

// AvailabilityAnswer answers CheckAvailability.
type AvailabilityAnswer func(context.Context, *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error)

// NewVenue starts a venue service, with health and reflection.
func NewVenue(o VenueOptions) (*Venue, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Places == nil {
		o.Places = []Place{DemoPlace()}
	}
	v := &Venue{
		server: grpc.NewServer(), served: make(chan struct{}), started: time.Now(),
		places: make(map[string]*Place, len(o.Places)),
	}
	for _, p := range o.Places {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("start the venue service: venue %q: %w", p.ID, err)
		}
		v.places[p.ID] = &p
	}
	if err := v.SetBookingAddr(o.BookingAddr); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Addr) //nolint:noctx // binds at once
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the venue service: %w", err), v.SetBookingAddr(""))
	}
	v.addr = listener.Addr().String()
	venuepb.RegisterVenueServiceServer(v.server, v)
	healthy := health.NewServer()
	healthy.SetServingStatus(venuepb.VenueService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(v.server, healthy)
	reflection.Register(v.server)
	go func() {
		defer close(v.served)
		_ = v.server.Serve(listener) // ends with Stop
	}()
	return v, nil
}

// Addr is the service's address, host:port.
func (v *Venue) Addr() string { return v.addr }

// Stop ends the service and the calls that it works on.
func (v *Venue) Stop() {
	v.server.Stop()
	<-v.served
	_ = v.SetBookingAddr("") // only a failed close, of a connection nobody uses any more
}

// SetBookingAddr changes the booking service that is asked for free tables, empty for none.
func (v *Venue) SetBookingAddr(addr string) error {
	var conn *grpc.ClientConn
	if addr != "" {
		var err error
		conn, err = grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return fmt.Errorf("reach the booking service: %w", err)
		}
	}
	v.mu.Lock()
	old := v.conn
	v.conn = conn
	v.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// SetCallback says whether the booking service is asked before CheckAvailability answers. Without,
// every table counts as free, as with a venue service whose knowledge is old.
func (v *Venue) SetCallback(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.free = !on
}

// SetZone changes the time zone of a venue. GetVenue answers it as it is, right or wrong.
func (v *Venue) SetZone(venueID, zone string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p := v.places[venueID]; p != nil {
		changed := *p
		changed.TimeZone = zone
		v.places[venueID] = &changed
	}
}

// SetAnswer replaces the answers of CheckAvailability; nil brings back the service's own.
func (v *Venue) SetAnswer(answer AvailabilityAnswer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = answer
}

// Checked is how many calls of CheckAvailability there were.
func (v *Venue) Checked() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.checked
}

func (v *Venue) place(id string) *Place {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.places[id]
}

// CheckAvailability lists what the venue can give to the party in the slot. An unknown venue, and
// one that is closed, has nothing to give.
//
// Errors: those of the booking service.
func (v *Venue) CheckAvailability(ctx context.Context, req *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
	v.mu.Lock()
	v.checked++
	place, conn, answer := v.places[req.GetVenueId()], v.conn, v.answer
	if v.free {
		conn = nil
	}
	v.mu.Unlock()
	if answer != nil {
		return answer(ctx, req)
	}
	if place == nil || len(place.Tables) == 0 {
		return &venuepb.CheckAvailabilityResponse{}, nil
	}
	taken := make(map[string]bool)
	if conn != nil {
		ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
		defer cancel()
		ask := &bookingpb.CheckTableAvailabilityRequest{VenueId: place.ID, Slot: req.GetSlot()}
		for _, t := range place.Tables {
			ask.TableIds = append(ask.TableIds, t.ID)
		}
		known, err := bookingpb.NewBookingServiceClient(conn).CheckTableAvailability(ctx, ask)
		if err != nil {
			return nil, status.Errorf(status.Code(err), "ask the booking service for free tables: %v", err)
		}
		for _, t := range known.GetTables() {
			taken[t.GetTableId()] = !t.GetAvailable()
		}
	}
	open, err := place.open(req.GetSlot())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if !open {
		return &venuepb.CheckAvailabilityResponse{}, nil
	}
	return &venuepb.CheckAvailabilityResponse{Tables: place.offers(int(req.GetPartySize()), taken)}, nil
}

// GetVenue answers a venue. Errors: Unknown, when there is no such venue, as the real service says.
func (v *Venue) GetVenue(_ context.Context, req *venuepb.GetVenueRequest) (*venuepb.Venue, error) {
	p := v.place(req.GetId())
	if p == nil {
		return nil, status.Error(codes.Unknown, "venue not found")
	}
	since := v.started.Unix()
	return &venuepb.Venue{Id: p.ID, Name: p.Name, Timezone: p.TimeZone, CreatedAt: since, UpdatedAt: since}, nil
}

// ListTables answers the tables of a venue, or of one of its rooms. A limit of 0 means all.
func (v *Venue) ListTables(_ context.Context, req *venuepb.ListTablesRequest) (*venuepb.ListTablesResponse, error) {
	tables := v.tables(req.GetVenueId(), req.GetRoomId())
	total := len(tables)
	tables = tables[min(max(int(req.GetOffset()), 0), total):]
	if limit := int(req.GetLimit()); limit > 0 {
		tables = tables[:min(limit, len(tables))]
	}
	return &venuepb.ListTablesResponse{Tables: tables, Total: int32(total)}, nil
}

// GetTableLayout answers the tables of a room.
func (v *Venue) GetTableLayout(_ context.Context, req *venuepb.GetTableLayoutRequest) (*venuepb.GetTableLayoutResponse, error) {
	return &venuepb.GetTableLayoutResponse{
		RoomId: req.GetRoomId(), Tables: v.tables(req.GetVenueId(), req.GetRoomId()),
	}, nil
}

// tables answers the tables of a venue and room; an empty id matches all.
func (v *Venue) tables(venueID, roomID string) []*venuepb.Table {
	v.mu.Lock()
	defer v.mu.Unlock()
	var tables []*venuepb.Table
	for _, id := range slices.Sorted(maps.Keys(v.places)) {
		if venueID != "" && id != venueID {
			continue
		}
		for _, t := range v.places[id].Tables {
			if roomID == "" || t.RoomID == roomID {
				tables = append(tables, t.message(v.started))
			}
		}
	}
	return tables
}

// GetOpeningHours answers when a venue is open; no days for one that does not tell, or is unknown.
func (v *Venue) GetOpeningHours(_ context.Context, req *venuepb.GetOpeningHoursRequest) (*venuepb.OpeningHours, error) {
	hours := &venuepb.OpeningHours{VenueId: req.GetVenueId()}
	if p := v.place(req.GetVenueId()); p != nil {
		for _, h := range p.Hours {
			hours.Days = append(hours.Days, &venuepb.DayHours{
				Weekday: int32(h.Weekday), OpenTime: h.Open, CloseTime: h.Close,
			})
		}
	}
	return hours, nil
}
