package app

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// Set by the linker (scripts/build.sh), where the sources have no repository around them or the build must
// not depend on it.
var version, commit, date string

// unknown is what a build calls what it does not know.
const unknown = "unknown"

// Build says what a binary was built from.
type Build struct {
	// Version is a release, v1.2.3, or (devel).
	Version string
	// Commit is the whole hash, with +dirty after it when files had been changed.
	Commit string
	// Date is that of the commit, as RFC 3339, so that building again gives the same binary.
	Date string
	// Go is the version of Go, go1.26.8.
	Go string
}

// ThisBuild answers what this binary was built from: what the linker was told, else what Go noted.
func ThisBuild() Build {
	noted := Build{}
	if info, ok := debug.ReadBuildInfo(); ok {
		noted = readBuild(info)
	}
	return Build{
		Version: cmp.Or(version, noted.Version, "(devel)"),
		Commit:  cmp.Or(commit, noted.Commit, unknown),
		Date:    cmp.Or(date, noted.Date, unknown),
		Go:      runtime.Version(),
	}
}

// readBuild takes from Go's notes what is there.
func readBuild(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.time":
			b.Date = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if b.Commit != "" {
		b.Commit += dirty
	}
	return b
}

// Version is the version of this binary.
func Version() string { return ThisBuild().Version }
