// Package delivery tells whether the events of bookings came out of Kafka: each, complete, and in the order of its
// booking's changes. The fault harness asks it, and the rolling upgrade.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// Written is an event as the audit log has it.
type Written struct {
	ID, BookingID, Type string
	Version             int
	Payload             []byte // JSON
}

// Arrived is an event as it first came out of Kafka.
type Arrived struct {
	Topic, Key string
	Version    int
	At         time.Time
	Value      []byte
	Times      int
}

// Read reads everything in the seven topics, by event id.
func Read(ctx context.Context, brokers ...string) (map[string]*Arrived, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, dom.Topics()...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ends of the topics: %w", err)
	}
	left := make(map[string]map[int32]int64)
	from := make(map[string]map[int32]kgo.Offset)
	open := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset == 0 {
			return
		}
		if left[o.Topic] == nil {
			left[o.Topic], from[o.Topic] = make(map[int32]int64), make(map[int32]kgo.Offset)
		}
		left[o.Topic][o.Partition], from[o.Topic][o.Partition] = o.Offset, kgo.NewOffset().AtStart()
		open++
	})
	client.AddConsumePartitions(from)
	events := make(map[string]*Arrived)
	var broken error
	for open > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("read the topics: %w", ctx.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			broken = errors.Join(broken, note(events, r))
			if r.Offset+1 == left[r.Topic][r.Partition] {
				open--
			}
		})
	}
	return events, broken
}

// note counts a record. Records of different partitions are read in any order: the first one of an
// event is the one that arrived first.
func note(events map[string]*Arrived, r *kgo.Record) error {
	d := &Arrived{Topic: r.Topic, Key: string(r.Key), At: r.Timestamp, Value: r.Value, Times: 1}
	var id string
	var err error
	for _, header := range r.Headers {
		switch header.Key {
		case "event_id":
			id = string(header.Value)
		case "booking_version":
			d.Version, err = strconv.Atoi(string(header.Value))
		}
	}
	if id == "" || err != nil {
		return fmt.Errorf("a record of %s has no event_id or booking_version", r.Topic)
	}
	if before := events[id]; before != nil {
		if before.Topic != d.Topic || before.Key != d.Key || before.Version != d.Version {
			return fmt.Errorf("event %s came twice with different contents", id)
		}
		d.Times += before.Times
		if before.At.Before(d.At) {
			d.At = before.At
		}
	}
	events[id] = d
	return nil
}

// Check answers the events that are lost, unheard of, changed or out of order, and how many records were repeats.
// What was written is given in the order of each booking's versions.
func Check(written []Written, arrived map[string]*Arrived) (repeats int, problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	last := make(map[string]*Arrived) // by booking
	for _, e := range written {
		a := arrived[e.ID]
		if a == nil {
			say("event %s, version %d of booking %s, never arrived", e.ID, e.Version, e.BookingID)
			continue
		}
		repeats += a.Times - 1
		var told, meant commonpb.BookingEvent
		err := errors.Join(protojson.Unmarshal(a.Value, &told), protojson.Unmarshal(e.Payload, &meant))
		if err != nil || a.Topic != e.Type || a.Key != e.BookingID || a.Version != e.Version || !proto.Equal(&told, &meant) {
			say("event %s, version %d of booking %s, arrived changed: %v", e.ID, e.Version, e.BookingID, err)
		}
		if before := last[e.BookingID]; before != nil && a.At.Before(before.At) {
			say("booking %s: version %d first arrived at %v, version %d before it at %v", e.BookingID, before.Version, before.At, a.Version, a.At)
		}
		last[e.BookingID] = a
	}
	if len(arrived) > len(written) {
		say("%d events arrived, %d were written", len(arrived), len(written))
	}
	return repeats, problems
}
