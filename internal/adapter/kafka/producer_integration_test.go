//go:build integration

package kafka

import (
	"testing"

	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

func TestProducerOnKafka(t *testing.T) {
	t.Parallel()
	bookingtest.EventPublisherSuite(t, func(t *testing.T) bookingtest.EventPublisher {
		return newFixture(t, testenv.KafkaBrokers(t))
	})
}
