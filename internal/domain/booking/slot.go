package booking

import (
	"errors"
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // Zones are the same on every machine, also where there are none.
)

const (
	dateLayout = "2006-01-02"
	timeLayout = "15:04"

	// DefaultDuration is the turn time of a slot that gives none.
	DefaultDuration = 120 * time.Minute
	// MinDuration is the shortest turn time.
	MinDuration = 5 * time.Minute
	// MaxDuration is the longest turn time.
	MaxDuration = 1440 * time.Minute
)

// ErrTimeInGap says that a local time does not exist: the clocks are put forward over it.
var ErrTimeInGap = errors.New("this local time does not exist: the clocks are put forward over it")

// Slot is a sitting in the local time of its venue. ParseDate, ParseTime and ParseDuration make its
// parts.
type Slot struct {
	// Date is the local calendar date of the start, at midnight UTC.
	Date time.Time
	// Start is the local time of day of the start, since midnight, in whole minutes.
	Start time.Duration
	// Duration is the turn time, in whole minutes.
	Duration time.Duration
}

// Sitting is the time that a party has its tables, as instants: from Start, up to but not
// including End.
type Sitting struct {
	Start time.Time
	End   time.Time
}

// Overlaps tells whether two sittings have an instant in common.
func (s Sitting) Overlaps(other Sitting) bool {
	return s.Start.Before(other.End) && other.Start.Before(s.End)
}

// ParseDate reads a calendar date `YYYY-MM-DD`, from the second day of year 1 on: the first is the zero
// time.Time, which stands for no date.
func ParseDate(s string) (time.Time, error) {
	d, err := time.Parse(dateLayout, s)
	if err != nil || !d.After(time.Time{}) {
		return time.Time{}, fmt.Errorf("must be a calendar date YYYY-MM-DD")
	}
	return d, nil
}

// ParseTime reads a time of day `HH:MM`, 24 hours.
func ParseTime(s string) (time.Duration, error) {
	t, err := time.Parse(timeLayout, s)
	if err != nil || len(s) != len(timeLayout) {
		return 0, fmt.Errorf("must be a time of day HH:MM, 00:00 to 23:59")
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// ParseDuration reads a turn time in minutes; 0 means DefaultDuration.
func ParseDuration(minutes int32) (time.Duration, error) {
	d := time.Duration(minutes) * time.Minute
	if minutes == 0 {
		return DefaultDuration, nil
	}
	if d < MinDuration || d > MaxDuration {
		return 0, fmt.Errorf("must be 0 (the default of %d) or %d to %d minutes",
			DefaultDuration/time.Minute, MinDuration/time.Minute, MaxDuration/time.Minute)
	}
	return d, nil
}

// DateText is the date as `YYYY-MM-DD`.
func (s Slot) DateText() string { return s.Date.Format(dateLayout) }

// StartText is the start as `HH:MM`.
func (s Slot) StartText() string { return s.Date.Add(s.Start).Format(timeLayout) }

// Minutes is the turn time in minutes.
func (s Slot) Minutes() int32 { return int32(s.Duration / time.Minute) }

// Resolve answers the slot as instants, in the zone of its venue. Of a start that occurs twice, the
// first is meant; the end is the start plus the turn time in elapsed time.
//
// Errors: ErrTimeInGap.
func (s Slot) Resolve(zone *time.Location) (Sitting, error) {
	wall := s.Date.Add(s.Start)
	var start time.Time
	// A local time is its wall clock less the zone's offset, and the offset in force is the one
	// before or the one after a change nearby. time.Date picks one of them by zone, so try both
	// and keep the first that reads as the wall clock again.
	for _, near := range []time.Time{wall.Add(-24 * time.Hour), wall.Add(24 * time.Hour)} {
		_, offset := near.In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		if _, at := t.In(zone).Zone(); at != offset {
			continue
		}
		if start.IsZero() || t.Before(start) {
			start = t
		}
	}
	if start.IsZero() {
		return Sitting{}, ErrTimeInGap
	}
	return Sitting{Start: start, End: start.Add(s.Duration)}, nil
}

// zones are the time zones that were loaded; there are a few hundred at most. Loading one reads and
// parses its history, which costs more than all else that a create does with its time.
var zones sync.Map // of *time.Location, by name

// LoadZone answers an IANA time zone. Unlike time.LoadLocation it takes "" and "Local" for no zone.
func LoadZone(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no IANA time zone", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no IANA time zone: %w", name, err)
	}
	zones.Store(name, zone)
	return zone, nil
}
