package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	RegisterBuild(reg, "v1.2.3", "abc", "go1.26.8")
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP booking_build_info What the running binary was built from.
# TYPE booking_build_info gauge
booking_build_info{commit="abc",go_version="go1.26.8",service="booking-svc",version="v1.2.3"} 1
`)))
}
