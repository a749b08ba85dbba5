package deploy

import (
	"debug/elf"
	"os"
	"regexp"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// mostBytes is what the binary may have, for an image of 40 MB: there is nothing in it besides but the roots for
// TLS, a fifth of a megabyte.
const mostBytes = 39_700_000

func TestImageIsSmallAndStatic(t *testing.T) {
	info, err := os.Stat(binary)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(mostBytes))
	t.Logf("the binary has %d bytes", info.Size())
	if runtime.GOOS != "linux" {
		t.Skip("not the image's binary")
	}
	file, err := elf.Open(binary)
	require.NoError(t, err)
	defer file.Close()
	for _, section := range file.Progs {
		require.NotEqual(t, elf.PT_INTERP, section.Type, "an image with nothing else in it has no loader")
	}
}

// Releases, images and CI are built by one version of Go: another one makes another binary.
func TestOneVersionOfGo(t *testing.T) {
	versions := make(map[string]string)
	for name, pattern := range map[string]string{
		"Dockerfile":                    `(?m)^FROM .*golang:([\d.]+)-`,
		".github/workflows/ci.yml":      `golang:([\d.]+)-`,
		".github/workflows/release.yml": `go-version: ([\d.]+)`,
	} {
		text, err := os.ReadFile(root + "/" + name)
		require.NoError(t, err)
		found := regexp.MustCompile(pattern).FindSubmatch(text)
		require.NotNil(t, found, name)
		versions[name] = string(found[1])
	}
	for name, version := range versions {
		require.Equal(t, versions["Dockerfile"], version, name)
	}
}

// The image's health check is a command that the binary has.
func TestImageHealthCheck(t *testing.T) {
	text, err := os.ReadFile(root + "/Dockerfile")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^HEALTHCHECK .* CMD \["/booking-svc", "(\w+)"\]$`).FindSubmatch(text)
	require.NotNil(t, found)
	requireCommand(t, []string{string(found[1])})
	require.Contains(t, string(text), " TAGS=nodev scripts/build.sh ", "as the binary of this test")
	serve := regexp.MustCompile(`(?m)^CMD \["(\w+)"\]$`).FindSubmatch(text)
	require.NotNil(t, serve)
	requireCommand(t, []string{string(serve[1])})
}
