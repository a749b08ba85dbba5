//go:build faultclock

package booking

import (
	"fmt"
	"os"
	"time"
)

// clock is the process's clock, ahead by BOOKING_CLOCK_AHEAD: for tests of what replicas do whose clocks
// differ. A static binary takes no library that would do it from outside.
var clock = func() func() time.Time {
	ahead, err := time.ParseDuration(os.Getenv("BOOKING_CLOCK_AHEAD"))
	if err != nil {
		panic(fmt.Sprintf("BOOKING_CLOCK_AHEAD: %v", err))
	}
	return func() time.Time { return time.Now().Add(ahead) }
}()
