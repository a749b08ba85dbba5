package command

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Nothing of this reaches a database: the settings name none that is there, and would end with 1.
func TestGuestsCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args   []string
		stderr string
	}{
		{nil, "guests takes the command erase"},
		{[]string{"forget"}, "guests takes the command erase"},
		{[]string{"erase"}, "takes either --phone or --booking"},
		{[]string{"erase", "--phone", "", "--yes"}, "takes either --phone or --booking"},
		{[]string{"erase", "--phone", "123", "--booking", "b1"}, "takes either --phone or --booking"},
		{[]string{"erase", "--phone", "none", "--yes"}, "--phone must have digits"},
		{[]string{"erase", "--booking", "a b", "--yes"}, "--booking must be a booking's id"},
		{[]string{"erase", "--booking", "b1", "b2"}, "takes no arguments"},
		{[]string{"erase", "--booking", "b1"}, "nothing was erased; give --yes"},
	} {
		code, stdout, stderr := execute(t, []string{"POSTGRES_PORT=1"}, append([]string{"guests"}, test.args...)...)
		require.Equal(t, 2, code, "%q", test.args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, test.stderr)
	}
	for _, args := range [][]string{{"guests", "--help"}, {"guests", "erase", "--help"}} {
		code, stdout, _ := execute(t, nil, args...)
		require.Zero(t, code)
		require.Contains(t, stdout, "-phone")
	}
}
