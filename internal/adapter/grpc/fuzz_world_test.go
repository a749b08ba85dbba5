package grpc

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// fuzzWorld is the service on doubles, behind a connection in memory. The server stays; what it knows
// is made anew for each request, so that an input finds the same whatever came before.
type fuzzWorld struct {
	*running
	// useCases is what the server calls.
	useCases struct{ UseCases }
	metrics  *metrics.Metrics
	repo     *bookingtest.MemoryRepository
}

func newFuzzWorld(t testing.TB) *fuzzWorld {
	w := &fuzzWorld{metrics: metrics.New(prometheus.NewRegistry())}
	w.running = startWith(t, &w.useCases, time.Minute)
	return w
}

// fuzzBookings are the bookings of each new world, by their id, all of venue-1.
var fuzzBookings = map[string][]dom.Status{
	"b-held":      nil,
	"b-overdue":   nil,
	"b-expired":   nil,
	"b-confirmed": {dom.StatusConfirmed},
	"b-cancelled": {dom.StatusCancelled},
	"b-seated":    {dom.StatusConfirmed, dom.StatusSeated},
	"b-finished":  {dom.StatusConfirmed, dom.StatusSeated, dom.StatusFinished},
	"b-no-show":   {dom.StatusConfirmed, dom.StatusNoShow},
}

// strictRepository refuses texts that PostgreSQL does not take, which are a fault of the service then.
type strictRepository struct{ *bookingtest.MemoryRepository }

func storable(texts ...string) error {
	for _, text := range texts {
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return fmt.Errorf("invalid byte sequence for encoding \"UTF8\": %q", text)
		}
	}
	return nil
}

func (r strictRepository) GetBooking(ctx context.Context, id string) (*dom.Booking, error) {
	if err := storable(id); err != nil {
		return nil, err
	}
	return r.MemoryRepository.GetBooking(ctx, id)
}

func (r strictRepository) FindByKey(ctx context.Context, venueID, key string) (*dom.Booking, []byte, error) {
	if err := storable(venueID, key); err != nil {
		return nil, nil, err
	}
	return r.MemoryRepository.FindByKey(ctx, venueID, key)
}

func (r strictRepository) ListBookings(ctx context.Context, f dom.BookingFilters) ([]*dom.Booking, int, error) {
	if err := storable(f.VenueID, f.TableID, string(f.Status)); err != nil {
		return nil, 0, err
	}
	return r.MemoryRepository.ListBookings(ctx, f)
}

func (r strictRepository) ChangeBooking(ctx context.Context, id string, c dom.Change) (*dom.Booking, bool, error) {
	if err := storable(id, c.AdminID, c.Reason); err != nil {
		return nil, false, err
	}
	return r.MemoryRepository.ChangeBooking(ctx, id, c)
}

func (r strictRepository) TakenTables(ctx context.Context, venueID string, tableIDs []string, during dom.Sitting) (map[string]bool, error) {
	if err := storable(append(tableIDs, venueID)...); err != nil {
		return nil, err
	}
	return r.MemoryRepository.TakenTables(ctx, venueID, tableIDs, during)
}

func (r strictRepository) VenueZone(ctx context.Context, venueID string) (string, error) {
	if err := storable(venueID); err != nil {
		return "", err
	}
	return r.MemoryRepository.VenueZone(ctx, venueID)
}

func (w *fuzzWorld) renew(t testing.TB) {
	ctx := context.Background()
	w.repo = bookingtest.NewMemoryRepository()
	w.useCases.UseCases = booking.NewService(strictRepository{w.repo}, bookingtest.NewHolds(), fuzzVenue{}, w.metrics, func(string) {}, booking.Config{
		// The seeds' dates are fixed, and meant to last.
		HoldTTL: 15 * time.Minute, MaxAdvance: 100 * 365 * 24 * time.Hour,
		ExpiryInterval: time.Second, KeyRetention: 24 * time.Hour,
	})
	w.log.Reset()
	for id, changes := range fuzzBookings {
		n := bookingtest.New("venue-1", id, 0, "next-to-"+id)
		n.Booking.ID = id
		if id == "b-overdue" || id == "b-expired" {
			n.HoldTTL = -time.Second
		}
		_, err := w.repo.CreateBooking(ctx, n)
		require.NoError(t, err)
		for _, to := range changes {
			_, _, err := w.repo.ChangeBooking(ctx, id, dom.Change{To: to})
			require.NoError(t, err)
		}
	}
	_, _, err := w.repo.ChangeBooking(ctx, "b-expired", dom.Change{To: dom.StatusConfirmed})
	require.Error(t, err)
}

// fuzzVenue knows three venues with three tables each, of which a party of more than four needs two.
type fuzzVenue struct{}

func (fuzzVenue) TimeZone(_ context.Context, venueID string) (string, error) {
	switch venueID {
	case "venue-1":
		return "Europe/Berlin", nil
	case "venue-2":
		return "America/St_Johns", nil
	case "venue-3":
		return "Pacific/Apia", nil
	}
	return "", dom.ErrVenueUnknown
}

func (v fuzzVenue) CheckAvailability(ctx context.Context, venueID string, _ dom.Slot, party int) ([]dom.TableOffer, error) {
	if _, err := v.TimeZone(ctx, venueID); err != nil || party > 8 {
		return nil, nil
	}
	var offers []dom.TableOffer
	for i := range 3 {
		offer := dom.TableOffer{Table: dom.TableRef{RoomID: "room-1", TableID: fmt.Sprint("table-", i+1)}, Available: true}
		if party > 4 {
			offer.Joined = &dom.TableRef{RoomID: "room-1", TableID: fmt.Sprint("table-", (i+1)%3+1)}
		}
		offers = append(offers, offer)
	}
	return offers, nil
}

// message is the pointer to a generated message.
type message[M any] interface {
	*M
	proto.Message
}

// fuzz fuzzes a method. An input is sent twice: as it is, and, if it is a message, as that message;
// both must have the same answer. Bytes that are no message never reach the service. right looks at
// what was answered to a request.
func fuzz[Req, Resp any, PReq message[Req], PResp message[Resp]](
	f *testing.F, method string, right func(*testing.T, *fuzzWorld, PReq, PResp), seeds ...PReq,
) {
	for _, m := range seeds {
		data, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(data)
	}
	for _, data := range rawSeeds {
		f.Add([]byte(data))
	}
	w := newFuzzWorld(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx := context.Background()
		path := "/" + bookingpb.BookingService_ServiceDesc.ServiceName + "/" + method
		request := PReq(new(Req))
		isMessage := proto.Unmarshal(data, request) == nil

		w.renew(t)
		var raw []byte
		rawErr := w.conn.Invoke(ctx, path, data, &raw, grpc.ForceCodecV2(rawCodec{}))
		if !isMessage {
			require.Equal(t, codes.Internal, status.Code(rawErr), "%v", rawErr)
			require.Contains(t, status.Convert(rawErr).Message(), "failed to unmarshal")
			require.Empty(t, w.log.String(), "the service was called")
			return
		}
		w.requireWell(t, rawErr)
		if rawErr == nil {
			answer := PResp(new(Resp))
			require.NoError(t, proto.Unmarshal(raw, answer))
			right(t, w, request, answer)
		}

		w.renew(t)
		answer := PResp(new(Resp))
		err := w.conn.Invoke(ctx, path, request, answer)
		w.requireWell(t, err)
		require.Equal(t, status.Code(rawErr), status.Code(err))
		require.Equal(t, status.Convert(rawErr).Message(), status.Convert(err).Message())
		if err == nil {
			right(t, w, request, answer)
		}
	})
}

// rawCodec sends and receives bytes as they are, in the name of protobuf.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// requireWell checks that a call went well: OK or the client's fault, and nothing but that in the log.
func (w *fuzzWorld) requireWell(t *testing.T, err error) {
	calls := w.log.calls(t)
	require.Len(t, calls, 1)
	require.Contains(t, []string{"debug", "info"}, calls[0]["level"], w.log.String())
	require.NotContains(t, w.log.String(), `"level":"error"`)
	if err == nil {
		return
	}
	s := status.Convert(err)
	require.NotEmpty(t, s.Message())
	// Many clients refuse headers of more than 8 KiB.
	detail, marshalErr := proto.Marshal(s.Proto())
	require.NoError(t, marshalErr)
	require.Less(t, base64.StdEncoding.EncodedLen(len(detail))+len(s.Message()), 8000)
	require.Len(t, s.Details(), 1)
	switch d := s.Details()[0].(type) {
	case *errdetails.BadRequest:
		require.Equal(t, codes.InvalidArgument, s.Code())
		require.NotEmpty(t, d.FieldViolations)
		for _, v := range d.FieldViolations {
			require.NotEmpty(t, v.Field)
			require.NotEmpty(t, v.Description)
		}
	case *errdetails.ErrorInfo:
		require.Equal(t, ErrorDomain, d.Domain)
		require.Contains(t, map[codes.Code][]string{
			codes.InvalidArgument:    {ReasonKeyReused},
			codes.NotFound:           {ReasonBookingNotFound},
			codes.AlreadyExists:      {ReasonSlotTaken},
			codes.FailedPrecondition: {ReasonTableUnavailable, ReasonInvalidTransition, ReasonHoldExpired},
		}[s.Code()], d.Reason)
	default:
		require.Fail(t, "unknown detail", "%T of %v", d, err)
	}
}

// requireStored checks that a booking reads back as it was answered, and that the database and the events
// would take its texts.
func (w *fuzzWorld) requireStored(t *testing.T, b *bookingpb.Booking) {
	stored, err := w.GetBooking(context.Background(), &bookingpb.GetBookingRequest{Id: b.Id})
	require.NoError(t, err)
	requireProto(t, b, stored)
	events := w.repo.Events(b.Id)
	require.NotEmpty(t, events)
	last := events[len(events)-1]
	require.Equal(t, "booking."+b.Status, string(last.Type))
	for _, c := range []struct {
		text  string
		limit int
	}{
		{last.AdminID, 36}, {last.Reason, 2000}, {b.VenueId, 36}, {b.Table.TableId, 36}, {b.Table.RoomId, 36},
		{b.CustomerName, 255}, {b.CustomerPhone, 50}, {b.Comment, 2000}, {b.AdminId, 36},
	} {
		require.LessOrEqual(t, utf8.RuneCountInString(c.text), c.limit)
		require.True(t, utf8.ValidString(c.text))
		require.NotContains(t, c.text, "\x00")
	}
}

// rawSeeds are bytes that every method gets: nothing, and what is no message, or hardly one.
var rawSeeds = []string{
	"",
	"\x0a\x02\xff\xfe",     // text that is no UTF-8
	"\x0a\x03\xed\xa0\x80", // half a surrogate pair
	"\x0a\x05ab",           // shorter than it says
	"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // longer than there is
	"\x08\x01",                  // another wire type
	"\x00\x00",                  // field 0
	"\x0b\x0c",                  // a group
	"\x0b",                      // that does not end
	"\xfa\xff\xff\xff\x0f\x01x", // a field that nobody knows
	"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", // a number of more than 64 bits
	"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // -1
	"\x12\x00\x12\x00\x1a\x00\x1a\x00",             // fields twice, and empty
	strings.Repeat("\x0b", 200) + strings.Repeat("\x0c", 200),
}

// matching answers the world's bookings that a list must find.
func (w *fuzzWorld) matching(t *testing.T, match func(*bookingpb.Booking) bool) []*bookingpb.Booking {
	all, err := w.ListBookings(context.Background(), &bookingpb.ListBookingsRequest{})
	require.NoError(t, err)
	require.Len(t, all.Bookings, len(fuzzBookings))
	return slices.DeleteFunc(all.Bookings, func(b *bookingpb.Booking) bool { return !match(b) })
}
