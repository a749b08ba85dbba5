package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// event is one that came out of Kafka.
type event struct {
	topic   string
	id      string
	version int
	// sent is when the broker's client handed it over.
	sent time.Time
	told *commonpb.BookingEvent
	// err says that the record is none of an event.
	err error
}

// watcher reads all events from its start on.
type watcher struct {
	client *kgo.Client
	done   chan struct{}
	cancel context.CancelFunc

	mu       sync.Mutex
	bookings map[string][]event
	seen     map[string]bool
}

// watchEvents begins to read the topics at their ends.
func watchEvents(ctx context.Context, broker string, s *story) (*watcher, error) {
	topics := booking.Topics()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	look, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(look, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	client.AddConsumePartitions(ends.KOffsets())
	reading, stop := context.WithCancel(ctx)
	w := &watcher{
		client: client, done: make(chan struct{}), cancel: stop,
		bookings: make(map[string][]event), seen: make(map[string]bool),
	}
	go w.read(reading, s)
	return w, nil
}

func (w *watcher) stop() {
	w.cancel()
	<-w.done
	w.client.Close()
}

func (w *watcher) read(ctx context.Context, s *story) {
	defer close(w.done)
	for ctx.Err() == nil {
		w.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			e := parseEvent(r)
			if w.add(string(r.Key), e) {
				s.say("    %-17s v%d  %-8s %s  party of %d", e.topic, e.version, e.told.GetTable().GetTableId(),
					e.told.GetSlot().GetStartTime(), e.told.GetPartySize())
			}
		})
	}
}

// add keeps an event and tells whether it is new: Kafka gets each at least once.
func (w *watcher) add(key string, e event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.id != "" && w.seen[e.id] {
		return false
	}
	w.seen[e.id] = true
	w.bookings[key] = append(w.bookings[key], e)
	return true
}

// of answers the events of a booking, in the order in which they came.
func (w *watcher) of(bookingID string) []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]event(nil), w.bookings[bookingID]...)
}

// count is how many events came, of any booking.
func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, list := range w.bookings {
		n += len(list)
	}
	return n
}

func parseEvent(r *kgo.Record) event {
	e := event{topic: r.Topic, sent: r.Timestamp, told: &commonpb.BookingEvent{}}
	for _, h := range r.Headers {
		switch h.Key {
		case "event_id":
			e.id = string(h.Value)
		case "booking_version":
			e.version, e.err = strconv.Atoi(string(h.Value))
		}
	}
	if e.id == "" || e.version == 0 {
		e.err = errors.Join(e.err, errors.New("its headers lack event_id or booking_version"))
	}
	if err := (protojson.UnmarshalOptions{}).Unmarshal(r.Value, e.told); err != nil {
		e.err = errors.Join(e.err, fmt.Errorf("its value is no common.BookingEvent: %w", err))
	}
	if e.told.GetBookingId() != string(r.Key) {
		e.err = errors.Join(e.err, errors.New("its key is not its booking's id"))
	}
	return e
}

// payloadTopic answers the topic that the event's payload belongs to.
func payloadTopic(told *commonpb.BookingEvent) string {
	switch told.GetPayload().(type) {
	case *commonpb.BookingEvent_Held:
		return "booking.held"
	case *commonpb.BookingEvent_Confirmed:
		return "booking.confirmed"
	case *commonpb.BookingEvent_Cancelled:
		return "booking.cancelled"
	case *commonpb.BookingEvent_Expired:
		return "booking.expired"
	case *commonpb.BookingEvent_Seated:
		return "booking.seated"
	case *commonpb.BookingEvent_Finished:
		return "booking.finished"
	case *commonpb.BookingEvent_NoShow:
		return "booking.no_show"
	}
	return "nothing"
}
