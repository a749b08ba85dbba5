package booking

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func slot(t *testing.T, date, start string, minutes int32) Slot {
	t.Helper()
	d, err := ParseDate(date)
	require.NoError(t, err)
	at, err := ParseTime(start)
	require.NoError(t, err)
	turn, err := ParseDuration(minutes)
	require.NoError(t, err)
	s := Slot{Date: d, Start: at, Duration: turn}
	require.Equal(t, date, s.DateText())
	require.Equal(t, start, s.StartText())
	return s
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		what, zone, date, start string
		minutes                 int32
		wantStart, wantEnd      string
	}{
		{"summer", "Europe/Berlin", "2027-07-01", "19:30", 0, "2027-07-01T17:30:00Z", "2027-07-01T19:30:00Z"},
		{"past midnight", "Europe/Berlin", "2027-07-01", "23:30", 120, "2027-07-01T21:30:00Z", "2027-07-01T23:30:00Z"},
		{"first of a fold", "Europe/Berlin", "2027-10-31", "02:30", 60, "2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"},
		{"across a fold", "Europe/Berlin", "2027-10-31", "01:30", 180, "2027-10-30T23:30:00Z", "2027-10-31T02:30:00Z"},
		{"across a gap", "Europe/Berlin", "2027-03-28", "01:30", 60, "2027-03-28T00:30:00Z", "2027-03-28T01:30:00Z"},
		{"first of a fold, west", "America/New_York", "2027-11-07", "01:30", 60, "2027-11-07T05:30:00Z", "2027-11-07T06:30:00Z"},
		{"half an hour of fold", "Australia/Lord_Howe", "2027-04-04", "01:45", 60, "2027-04-03T14:45:00Z", "2027-04-03T15:45:00Z"},
		{"beyond the date line", "Pacific/Kiritimati", "2027-01-01", "00:00", 60, "2026-12-31T10:00:00Z", "2026-12-31T11:00:00Z"},
		{"quarter hours", "Asia/Kathmandu", "2027-01-01", "12:00", 60, "2027-01-01T06:15:00Z", "2027-01-01T07:15:00Z"},
	} {
		t.Run(c.what, func(t *testing.T) {
			zone, err := LoadZone(c.zone)
			require.NoError(t, err)
			got, err := slot(t, c.date, c.start, c.minutes).Resolve(zone)
			require.NoError(t, err)
			require.Equal(t, c.wantStart, got.Start.UTC().Format(time.RFC3339))
			require.Equal(t, c.wantEnd, got.End.UTC().Format(time.RFC3339))
		})
	}
}

func TestResolveRefusesGaps(t *testing.T) {
	for _, c := range [][3]string{
		{"Europe/Berlin", "2027-03-28", "02:00"},
		{"Europe/Berlin", "2027-03-28", "02:59"},
		{"America/New_York", "2027-03-14", "02:30"},
		{"America/Sao_Paulo", "2018-11-04", "00:30"}, // midnight itself was skipped
		{"Pacific/Apia", "2011-12-30", "12:00"},      // a whole day was skipped
	} {
		zone, err := LoadZone(c[0])
		require.NoError(t, err)
		_, err = slot(t, c[1], c[2], 60).Resolve(zone)
		require.ErrorIs(t, err, ErrTimeInGap, c)
	}
}

// In any zone, at any minute of two years: the start reads as the wall clock that was asked for, no
// earlier instant does, and what is refused is read by no instant.
func TestResolveAgainstTheWallClock(t *testing.T) {
	zones := []string{
		"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tehran",
		"America/Santiago", "Pacific/Chatham", "Antarctica/Troll", "UTC", "Africa/Cairo",
	}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := LoadZone(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		s := Slot{
			Date:     time.Date(2026, 1, 1+rapid.IntRange(0, 730).Draw(t, "day"), 0, 0, 0, 0, time.UTC),
			Start:    time.Duration(rapid.IntRange(0, 1439).Draw(t, "minute")) * time.Minute,
			Duration: time.Hour,
		}
		const layout = "2006-01-02 15:04"
		wall := s.Date.Add(s.Start).Format(layout)
		first := time.Time{}
		for at := s.Date.Add(s.Start).Add(-15 * time.Hour); at.Before(s.Date.Add(s.Start).Add(15 * time.Hour)); at = at.Add(time.Minute) {
			if at.In(zone).Format(layout) == wall {
				first = at
				break
			}
		}
		got, err := s.Resolve(zone)
		if first.IsZero() != (err == ErrTimeInGap) || err == nil && !got.Start.Equal(first) {
			t.Fatalf("%s in %s: got %v, %v; the wall clock says %v", wall, zone, got.Start, err, first)
		}
	})
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"", "2027-02-29", "2027-1-01", "01-01-2027", "2027-01-01T00:00", "0000-01-01", "0001-01-01", "20270101", "2027-13-01"} {
		_, err := ParseDate(bad)
		require.Error(t, err, bad)
	}
	for _, bad := range []string{"", "24:00", "9:30", "12:60", "12:30:00", "1230", "-1:00", "12.30", "07:3O"} {
		_, err := ParseTime(bad)
		require.Error(t, err, bad)
	}
	for _, bad := range []int32{-1, 1, 4, 1441, -2147483648, 2147483647} {
		_, err := ParseDuration(bad)
		require.Error(t, err, bad)
	}
	for minutes, want := range map[int32]time.Duration{0: 2 * time.Hour, 5: 5 * time.Minute, 1440: 24 * time.Hour} {
		got, err := ParseDuration(minutes)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestLoadZone(t *testing.T) {
	for _, bad := range []string{"", "Local", "Europe/Atlantis", "../etc/passwd"} {
		_, err := LoadZone(bad)
		require.Error(t, err, bad)
	}
}

func TestSittingOverlaps(t *testing.T) {
	at := func(from, to int) Sitting {
		return Sitting{Start: noon.Add(time.Duration(from) * time.Hour), End: noon.Add(time.Duration(to) * time.Hour)}
	}
	require.True(t, at(0, 2).Overlaps(at(1, 3)))
	require.True(t, at(0, 3).Overlaps(at(1, 2)))
	require.False(t, at(0, 2).Overlaps(at(2, 4)), "the end is not part of the sitting")
	require.False(t, at(2, 4).Overlaps(at(0, 2)))
}
