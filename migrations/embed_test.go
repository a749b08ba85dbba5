package migrations

import (
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Latest must follow the files: the service is not ready on a schema older than it.
func TestLatestIsTheNewestFile(t *testing.T) {
	files, err := fs.Glob(FS, "*.sql")
	require.NoError(t, err)
	require.Len(t, files, Latest)
	for i, file := range files {
		prefix, _, _ := strings.Cut(file, "_")
		version, err := strconv.Atoi(prefix)
		require.NoError(t, err, file)
		require.Equal(t, i+1, version, "versions have no gaps")
		text, err := fs.ReadFile(FS, file)
		require.NoError(t, err)
		require.Contains(t, string(text), "-- +goose Up")
		require.Contains(t, string(text), "-- +goose Down", "every migration can be taken back")
	}
}
