package bookingtest

import (
	"testing"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

func TestMemoryPublisher(t *testing.T) {
	EventPublisherSuite(t, func(*testing.T) EventPublisher {
		p := NewMemoryPublisher(map[string]int{"topic": 1 << 20, "narrow": NarrowBytes})
		return EventPublisher{
			EventPublisher: p, Topic: "topic", Narrow: "narrow", Missing: "missing",
			Received: func(topic string, _ int) []dom.OutboxMessage {
				var got []dom.OutboxMessage
				for _, m := range p.Published() {
					if m.Topic == topic {
						got = append(got, m)
					}
				}
				return got
			},
		}
	})
}
