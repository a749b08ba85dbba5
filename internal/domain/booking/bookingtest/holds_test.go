package bookingtest_test

import (
	"testing"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
)

func TestHolds(t *testing.T) {
	t.Parallel()
	bookingtest.TestHoldRepository(t, func(*testing.T) dom.HoldRepository { return bookingtest.NewHolds() })
}
