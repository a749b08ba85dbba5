package main

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

// delivered is an event as it first came out of Kafka.
type delivered struct {
	topic, key string
	version    int
	at         time.Time
	value      []byte
	times      int
}

// readTopics reads everything in the seven topics, by event id.
func readTopics(ctx context.Context, broker string) (map[string]*delivered, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
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
	events := make(map[string]*delivered)
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
func note(events map[string]*delivered, r *kgo.Record) error {
	d := &delivered{topic: r.Topic, key: string(r.Key), at: r.Timestamp, value: r.Value, times: 1}
	var id string
	var err error
	for _, header := range r.Headers {
		switch header.Key {
		case "event_id":
			id = string(header.Value)
		case "booking_version":
			d.version, err = strconv.Atoi(string(header.Value))
		}
	}
	if id == "" || err != nil {
		return fmt.Errorf("a record of %s has no event_id or booking_version", r.Topic)
	}
	if before := events[id]; before != nil {
		if before.topic != d.topic || before.key != d.key || before.version != d.version {
			return fmt.Errorf("event %s came twice with different contents", id)
		}
		d.times += before.times
		if before.at.Before(d.at) {
			d.at = before.at
		}
	}
	events[id] = d
	return nil
}

// checkDelivered answers the events that are lost, unheard of, changed or out of order, and how many
// records were repeats.
func checkDelivered(s *store, events map[string]*delivered) (repeats int, problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	written := 0
	for _, b := range s.bookings {
		var before *delivered
		for _, e := range b.Events {
			written++
			d := events[e.ID]
			if d == nil {
				say("event %s, version %d of booking %s, never arrived", e.ID, e.Version, b.ID)
				continue
			}
			repeats += d.times - 1
			var told, meant commonpb.BookingEvent
			err := errors.Join(protojson.Unmarshal(d.value, &told), protojson.Unmarshal(e.Payload, &meant))
			if err != nil || d.topic != e.Type || d.key != b.ID || d.version != e.Version || !proto.Equal(&told, &meant) {
				say("event %s, version %d of booking %s, arrived changed: %v", e.ID, e.Version, b.ID, err)
			}
			if before != nil && d.at.Before(before.at) {
				say("booking %s: version %d first arrived at %v, version %d before it at %v", b.ID, before.version, before.at, d.version, d.at)
			}
			before = d
		}
	}
	if len(events) > written {
		say("%d events arrived, %d were written", len(events), written)
	}
	return repeats, problems
}
