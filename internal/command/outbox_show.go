package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	pgadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/postgres"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// outboxStats counts the events and tells who relays them.
func outboxStats(ctx context.Context, env Env, c outboxCommand, args []string) error {
	flags := c.flags(env)
	asJSON := flags.Bool("json", false, "print one JSON object")
	rest, err := c.parse(flags, args)
	if err == nil {
		err = noArguments(flags.Name(), rest)
	}
	if err != nil {
		return err
	}
	return c.on(ctx, env, func(outbox *pgadapter.OutboxAdmin) error {
		overview, err := outbox.Overview(ctx)
		switch {
		case err != nil:
			return err
		case *asJSON:
			return printJSON(env.Stdout, newStats(overview))
		}
		return newStats(overview).print(env.Stdout)
	})
}

// defaultLimit is how many events list shows when nothing else is asked for.
const defaultLimit = 50

// outboxList lists events, without their payload.
func outboxList(ctx context.Context, env Env, c outboxCommand, args []string) error {
	var f pgadapter.OutboxFilter
	flags := c.flags(env)
	states := flags.String("status", "pending,dlq", "states, with commas: pending, dlq, sent")
	filterFlags(flags, &f)
	limit := flags.Int("limit", defaultLimit, "at most so many events")
	asJSON := flags.Bool("json", false, "print one JSON array")
	rest, err := c.parse(flags, args)
	if err == nil {
		err = noArguments(flags.Name(), rest)
	}
	if err == nil {
		err = checkFilter(flags, f)
	}
	if err == nil && *limit < 1 {
		err = usageErrorf("outbox list: --limit must be at least 1")
	}
	if err != nil {
		return err
	}
	statuses, err := parseStatuses(*states)
	if err != nil {
		return err
	}
	return c.on(ctx, env, func(outbox *pgadapter.OutboxAdmin) error {
		// One more than asked for tells whether there are more; of the largest limit there cannot be.
		events, err := outbox.List(ctx, statuses, f, min(*limit, math.MaxInt-1)+1)
		if err != nil {
			return err
		}
		more := len(events) > *limit
		events = events[:min(len(events), *limit)]
		switch {
		case *asJSON:
			list := make([]eventJSON, len(events))
			for i := range events {
				list[i] = newEventJSON(&events[i])
			}
			err = printJSON(env.Stdout, list)
		case len(events) == 0:
			_, err = fmt.Fprintf(env.Stdout, "no such events (%s)\n", *states)
		default:
			err = printEvents(env.Stdout, events)
		}
		if more {
			fmt.Fprintf(env.Stderr, "%d shown, there are more: --limit shows more.\n", *limit)
		}
		return err
	})
}

func parseStatuses(list string) ([]dom.OutboxStatus, error) {
	var statuses []dom.OutboxStatus
	for name := range strings.SplitSeq(list, ",") {
		status := dom.OutboxStatus(strings.TrimSpace(name))
		switch status {
		case dom.OutboxPending, dom.OutboxDLQ, dom.OutboxSent:
		default:
			return nil, usageErrorf("outbox list: --status takes pending, dlq and sent, with commas, not %q", name)
		}
		if !slices.Contains(statuses, status) {
			statuses = append(statuses, status)
		}
	}
	return statuses, nil
}

// outboxShow shows one event, its payload only when that is asked for.
func outboxShow(ctx context.Context, env Env, c outboxCommand, args []string) error {
	flags := c.flags(env)
	withPayload := flags.Bool("payload", false, "also the payload; it holds a guest's data, as name and phone")
	asJSON := flags.Bool("json", false, "print one JSON object")
	rest, err := c.parse(flags, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usageErrorf("outbox show takes the id of one event")
	}
	id, err := eventID(c, rest[0])
	if err != nil {
		return err
	}
	return c.on(ctx, env, func(outbox *pgadapter.OutboxAdmin) error {
		events, err := outbox.Find(ctx, []int64{id})
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return fmt.Errorf("%s", unknownEvent(id))
		}
		var payload []byte
		if *withPayload {
			if payload, err = outbox.Payload(ctx, id); err != nil {
				return err
			}
		}
		if *asJSON {
			return printJSON(env.Stdout, newDetailsJSON(&events[0], payload))
		}
		return printDetails(env.Stdout, &events[0], payload)
	})
}

// eventJSON is an event in the output for scripts.
type eventJSON struct {
	ID             int64            `json:"id"`
	Status         dom.OutboxStatus `json:"status"`
	Topic          string           `json:"topic"`
	BookingID      string           `json:"booking_id"`
	BookingVersion int              `json:"booking_version"`
	EventID        string           `json:"event_id"`
	CreatedAt      time.Time        `json:"created_at"`
	AgeSeconds     float64          `json:"age_seconds"`
	RetryCount     int              `json:"retry_count"`
	LastError      string           `json:"last_error"`
}

func newEventJSON(e *pgadapter.OutboxEvent) eventJSON {
	return eventJSON{
		ID: e.ID, Status: e.Status, Topic: e.Topic, BookingID: e.BookingID, BookingVersion: e.BookingVersion,
		EventID: e.EventID, CreatedAt: e.CreatedAt.UTC(), AgeSeconds: e.Age.Seconds(), RetryCount: e.RetryCount,
		LastError: e.LastError,
	}
}

// detailsJSON is all of an event in the output for scripts.
type detailsJSON struct {
	eventJSON
	Shard        int16           `json:"shard"`
	SentAt       *time.Time      `json:"sent_at,omitempty"`
	PayloadBytes int             `json:"payload_bytes"`
	Payload      json.RawMessage `json:"payload,omitempty"`
}

func newDetailsJSON(e *pgadapter.OutboxEvent, payload []byte) detailsJSON {
	d := detailsJSON{eventJSON: newEventJSON(e), Shard: e.Shard, PayloadBytes: e.PayloadSize}
	if !e.SentAt.IsZero() {
		sentAt := e.SentAt.UTC()
		d.SentAt = &sentAt
	}
	switch {
	case payload == nil:
	case json.Valid(payload):
		d.Payload = payload
	default:
		d.Payload, _ = json.Marshal(string(payload)) // A string can always be written.
	}
	return d
}

// prettyPayload writes a payload for people to read.
func prettyPayload(payload []byte) string {
	var pretty bytes.Buffer
	if json.Indent(&pretty, payload, "", "  ") != nil {
		return fmt.Sprintf("(no JSON) %q", payload)
	}
	return printable(pretty.String(), "\n")
}

// statsJSON is what stats tells.
type statsJSON struct {
	Events map[dom.OutboxStatus]totalJSON `json:"events"`
	Topics []topicJSON                    `json:"topics"`
	Relays []relayJSON                    `json:"relays"`
	// UnownedShards are those without a living relay.
	UnownedShards []int16 `json:"unowned_shards"`
}

type totalJSON struct {
	Count            int64   `json:"count"`
	OldestAgeSeconds float64 `json:"oldest_age_seconds"`
}

type topicJSON struct {
	Topic   string `json:"topic"`
	Pending int64  `json:"pending"`
	DLQ     int64  `json:"dlq"`
	Sent    int64  `json:"sent"`
}

type relayJSON struct {
	ID          string  `json:"id"`
	Shards      int     `json:"shards"`
	Alive       bool    `json:"alive"`
	GoneSeconds float64 `json:"gone_seconds,omitempty"`
}

// states are all of an event, in the order in which they are told: what an operator looks for first.
func states() []dom.OutboxStatus {
	return []dom.OutboxStatus{dom.OutboxPending, dom.OutboxDLQ, dom.OutboxSent}
}

func newStats(o pgadapter.OutboxOverview) statsJSON {
	// Made, not nil: in JSON an empty list is [].
	s := statsJSON{
		Events: map[dom.OutboxStatus]totalJSON{}, Topics: []topicJSON{}, Relays: []relayJSON{},
		UnownedShards: append([]int16{}, o.Unowned...),
	}
	for _, status := range states() {
		s.Events[status] = totalJSON{}
	}
	for _, g := range o.Groups {
		total := s.Events[g.Status]
		total.Count += g.Count
		total.OldestAgeSeconds = max(total.OldestAgeSeconds, g.Oldest.Seconds())
		s.Events[g.Status] = total
		if n := len(s.Topics); n == 0 || s.Topics[n-1].Topic != g.Topic {
			s.Topics = append(s.Topics, topicJSON{Topic: g.Topic})
		}
		topic := &s.Topics[len(s.Topics)-1]
		switch g.Status {
		case dom.OutboxPending:
			topic.Pending = g.Count
		case dom.OutboxDLQ:
			topic.DLQ = g.Count
		case dom.OutboxSent:
			topic.Sent = g.Count
		}
	}
	for _, r := range o.Relays {
		s.Relays = append(s.Relays, relayJSON{ID: r.Owner, Shards: r.Shards, Alive: r.Gone == 0, GoneSeconds: r.Gone.Seconds()})
	}
	return s
}
