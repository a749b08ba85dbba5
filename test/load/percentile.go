package load

import (
	"math"
	"slices"
	"time"
)

// Percentile of some latencies, which it sorts, p from 0 to 100; 0 of none.
func Percentile(latencies []time.Duration, p float64) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	return latencies[min(len(latencies)-1, int(math.Ceil(float64(len(latencies))*p/100))-1)]
}
