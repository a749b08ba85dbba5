//go:build !faultclock

package booking

import "time"

// clock is the process's clock.
var clock = time.Now
