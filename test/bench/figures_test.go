package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGoals(t *testing.T) {
	measured := func(ratio, rate float64, latency, limit time.Duration) *figure {
		return &figure{
			Ratio: []float64{ratio}, Service: []float64{rate},
			Times: result{latencies: []time.Duration{latency}}, LimitTimes: result{latencies: []time.Duration{limit}},
		}
	}
	for name, test := range map[string]struct {
		goal goal
		of   *figure
		met  bool
	}{
		"ratio":             {goal{ratio: 0.5}, measured(0.5, 10, 0, 0), true},
		"ratio missed":      {goal{ratio: 0.5}, measured(0.49, 10, 0, 0), false},
		"rate instead":      {goal{ratio: 0.5, rate: 1800}, measured(0.1, 1800, 0, 0), true},
		"too slow":          {goal{ratio: 0.5, p99: time.Millisecond}, measured(0.9, 10, 2*time.Millisecond, 0), false},
		"above the limit's": {goal{above: time.Millisecond}, measured(0.1, 10, 3*time.Millisecond, 2*time.Millisecond), true},
		"far above":         {goal{above: time.Millisecond}, measured(0.1, 10, 4*time.Millisecond, 2*time.Millisecond), false},
	} {
		test.goal.judge(test.of)
		require.Equal(t, test.met, test.of.Met, name)
	}
}

// pgbench and the load must give out the same sittings.
func TestCreatesTakeEachSittingOnce(t *testing.T) {
	seen := make(map[string]bool)
	for n := range 3 * venues * tablesEach * 12 {
		req := createRequest(n)
		key := req.GetVenueId() + req.GetTable().GetTableId() + req.GetSlot().GetDate() + req.GetSlot().GetStartTime()
		require.False(t, seen[key], key)
		seen[key] = true
	}
	require.Contains(t, script("create"), "% 240", "venues times tables")
	require.Equal(t, 240, venues*tablesEach)
}
