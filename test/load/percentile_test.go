package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPercentile(t *testing.T) {
	latencies := make([]time.Duration, 0, 100)
	for i := range 100 {
		latencies = append(latencies, time.Duration(100-i)*time.Millisecond)
	}
	require.Equal(t, 50*time.Millisecond, Percentile(latencies, 50))
	require.Equal(t, 99*time.Millisecond, Percentile(latencies, 99))
	require.Equal(t, 100*time.Millisecond, Percentile(latencies, 99.9))
	require.Zero(t, Percentile(nil, 99))
}
