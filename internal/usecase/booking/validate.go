package booking

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// Limits of fields, in characters but for the key, which is ASCII.
const (
	maxAdminID  = 36
	maxName     = 255
	maxPhone    = 50
	maxText     = 2000
	maxParty    = 1000
	maxKey      = 128
	maxTableIDs = 1000
)

// validation gathers what is wrong with a request.
type validation struct {
	violations []dom.FieldViolation
}

func (v *validation) add(field, description string) {
	v.violations = append(v.violations, dom.FieldViolation{Field: field, Description: description})
}

// err answers a *dom.ValidationError with all that was gathered, nil if that is nothing.
func (v *validation) err() error {
	if len(v.violations) == 0 {
		return nil
	}
	return &dom.ValidationError{Violations: v.violations}
}

const idRule = "must be 1 to 36 characters of letters, digits, '.', '_' and '-'"

func (v *validation) id(field, value string) {
	if !dom.ValidID(value) {
		v.add(field, idRule)
	}
}

func (v *validation) optionalID(field, value string) {
	if value != "" {
		v.id(field, value)
	}
}

// text checks free text of one line or more: its length, and that it holds no control characters.
func (v *validation) text(field, value string, limit int) {
	switch {
	case len(value) > limit && utf8.RuneCountInString(value) > limit:
		v.add(field, fmt.Sprintf("must be at most %d characters", limit))
	case !utf8.ValidString(value):
		v.add(field, "must be valid UTF-8")
	case strings.ContainsFunc(value, unicode.IsControl):
		v.add(field, "must not hold control characters")
	}
}

func (v *validation) slot(in *SlotInput) (slot dom.Slot) {
	if in == nil {
		v.add("slot", "is required")
		return slot
	}
	var err error
	if slot.Date, err = dom.ParseDate(in.Date); err != nil {
		v.add("slot.date", err.Error())
	}
	if slot.Start, err = dom.ParseTime(in.StartTime); err != nil {
		v.add("slot.start_time", err.Error())
	}
	if slot.Duration, err = dom.ParseDuration(in.DurationMinutes); err != nil {
		v.add("slot.duration_minutes", err.Error())
	}
	return slot
}

// validate answers the booking that the command asks for, with a new id.
func (c CreateCommand) validate() (*dom.Booking, error) {
	var v validation
	v.id("venue_id", c.VenueID)
	table := c.Table
	if table == nil {
		table = &TableInput{}
		v.add("table", "is required")
	} else {
		if table.VenueID != "" && table.VenueID != c.VenueID {
			v.add("table.venue_id", "must be empty or equal to venue_id")
		}
		v.optionalID("table.room_id", table.RoomID)
		v.id("table.table_id", table.TableID)
	}
	slot := v.slot(c.Slot)
	if c.PartySize < 1 || c.PartySize > maxParty {
		v.add("party_size", fmt.Sprintf("must be 1 to %d", maxParty))
	}
	name := strings.TrimSpace(c.CustomerName)
	if name == "" {
		v.add("customer_name", "is required")
	}
	v.text("customer_name", name, maxName)
	v.text("customer_phone", c.CustomerPhone, maxPhone)
	v.text("comment", c.Comment, maxText)
	v.text("admin_id", c.AdminID, maxAdminID)
	if len(c.IdempotencyKey) > maxKey || strings.ContainsFunc(c.IdempotencyKey, notPrintableASCII) {
		v.add("idempotency_key", fmt.Sprintf("must be at most %d printable ASCII characters", maxKey))
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	return &dom.Booking{
		ID: dom.NewID(), VenueID: c.VenueID,
		Table: dom.TableRef{RoomID: table.RoomID, TableID: table.TableID},
		Slot:  slot, PartySize: int(c.PartySize), CustomerName: name, CustomerPhone: c.CustomerPhone,
		Status: dom.StatusHeld, Comment: c.Comment, AdminID: c.AdminID, Version: 1,
	}, nil
}

func notPrintableASCII(r rune) bool { return r < ' ' || r > '~' }

func (c ChangeCommand) validate() error {
	var v validation
	v.id("id", c.ID)
	v.text("admin_id", c.AdminID, maxAdminID)
	v.text("reason", c.Reason, maxText)
	return v.err()
}

func (q ListQuery) validate() (dom.BookingFilters, error) {
	var v validation
	v.optionalID("venue_id", q.VenueID)
	v.optionalID("table_id", q.TableID)
	var date time.Time
	if q.Date != "" {
		var err error
		if date, err = dom.ParseDate(q.Date); err != nil {
			v.add("date", err.Error())
		}
	}
	if q.Status != "" && !statuses[dom.Status(q.Status)] {
		v.add("status", "must be one of "+statusNames)
	}
	limit := q.Limit
	switch {
	case limit < 0:
		v.add("limit", "must not be negative")
	case limit == 0:
		limit = defaultLimit
	case limit > maxLimit:
		limit = maxLimit
	}
	if q.Offset < 0 {
		v.add("offset", "must not be negative")
	}
	return dom.BookingFilters{
		VenueID: q.VenueID, Date: date, Status: dom.Status(q.Status), TableID: q.TableID,
		Limit: int(limit), Offset: int(q.Offset),
	}, v.err()
}

// statuses are those that a list may be filtered by, statusNames their names in one line.
var statuses, statusNames = func() (map[dom.Status]bool, string) {
	known := make(map[dom.Status]bool)
	names := make([]string, 0, len(dom.Statuses()))
	for _, s := range dom.Statuses() {
		known[s] = true
		names = append(names, string(s))
	}
	return known, strings.Join(names, ", ")
}()

// validate answers each asked table once, in the order asked, and the slot.
func (q AvailabilityQuery) validate() ([]string, dom.Slot, error) {
	var v validation
	v.id("venue_id", q.VenueID)
	tables := make([]string, 0, len(q.TableIDs))
	if len(q.TableIDs) > maxTableIDs {
		v.add("table_ids", fmt.Sprintf("must be at most %d", maxTableIDs))
	} else {
		seen := make(map[string]bool, len(q.TableIDs))
		for i, id := range q.TableIDs {
			if !dom.ValidID(id) {
				v.add(fmt.Sprintf("table_ids[%d]", i), idRule)
			}
			if !seen[id] {
				seen[id] = true
				tables = append(tables, id)
			}
		}
	}
	slot := v.slot(q.Slot)
	return tables, slot, v.err()
}
