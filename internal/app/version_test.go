package app

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuildFromGosNotes(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-24T12:00:00Z"},
	}}
	require.Equal(t, Build{Version: "v1.2.3", Commit: "abc+dirty", Date: "2026-11-24T12:00:00Z"}, readBuild(info))
	info.Settings[0].Value = "false"
	require.Equal(t, "abc", readBuild(info).Commit)
	require.Equal(t, Build{Version: "(devel)"}, readBuild(&debug.BuildInfo{
		Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}},
	}), "no commit, nothing to be dirty")
}

func TestTheLinkersWordCounts(t *testing.T) {
	before := [3]string{version, commit, date}
	t.Cleanup(func() { version, commit, date = before[0], before[1], before[2] })
	version, commit, date = "v9.8.7", "cafe", "2026-01-02T03:04:05Z"
	require.Equal(t, Build{"v9.8.7", "cafe", "2026-01-02T03:04:05Z", runtime.Version()}, ThisBuild())
	require.Equal(t, "v9.8.7", Version())

	version, commit, date = "", "", ""
	b := ThisBuild()
	for _, word := range []string{b.Version, b.Commit, b.Date} {
		require.NotEmpty(t, word, "what is not known is said")
	}
}
