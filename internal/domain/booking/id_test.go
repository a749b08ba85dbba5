package booking

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a", "Z", "0", ".", "_", "-", "table-1", "venue_1.main", NewID(), strings.Repeat("x", 36)} {
		require.True(t, ValidID(id), "%q", id)
	}
	for _, id := range []string{
		"", strings.Repeat("x", 37), " ", "a b", "a/b", "a:b", "a\x00", "a\n", "é", "стол", "{a}", "a*", "@", "[", "`", "/", ":",
	} {
		require.False(t, ValidID(id), "%q", id)
	}
}
