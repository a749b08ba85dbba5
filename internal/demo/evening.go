package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

var names = []string{
	"Ada", "Bela", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hana", "Igor", "Jun", "Katya", "Lars",
	"Mina", "Noor", "Oskar", "Petra", "Quim", "Rosa", "Sami", "Tove", "Uma", "Vera", "Wim", "Yara", "Zeno",
}

// guests makes parties. Seeded, so that every evening is the same.
type guests struct {
	random *rand.Rand
	e      *evening
	n      int
}

// at makes a party that fits a table, by its number.
func (g *guests) at(table int, start string, minutes int32) *party {
	seats := int32(g.e.place.Tables[table-1].Capacity)
	size := seats - g.random.Int32N(seats/2+1)
	p := &party{
		name: names[g.n%len(names)], size: size, start: start, minutes: minutes,
		table: g.e.place.Tables[table-1].ID,
	}
	g.n++
	return p
}

// play is the evening: three sittings, with all that comes between.
func (e *evening) play(ctx context.Context) error {
	g := &guests{random: rand.New(rand.NewPCG(1, 2)), e: e}
	early, second, late := e.bookSittings(ctx, g)
	if len(e.parties) == 0 {
		return nil // it has been told why; there is nothing to go on with
	}
	large := e.bookJoined(ctx)
	second = append(second, large)
	e.refuse(ctx, early[0], second[0], large)

	expired, err := e.letExpire(ctx, g)
	if err != nil {
		return err
	}
	second = append(second, expired)
	replaced, err := e.replaceOverdue(ctx, g, late[7])
	if err != nil {
		return err
	}
	late[7] = replaced
	early[4] = e.cancelAndRebook(ctx, g, early[4], 5)
	second[3] = e.cancelAndRebook(ctx, g, second[3], 4)
	late[1] = e.cancelAndRebook(ctx, g, late[1], 2)
	e.confirmRest(ctx)

	e.say("\nThe doors open.")
	e.floorAt(ctx, "17:00")
	e.sit(ctx, "17:00", early, early[2])
	e.say("\nThe first guests leave.")
	e.moveAll(ctx, "finished", without(early, early[2])...)
	e.sit(ctx, "19:00", second, second[6])
	e.say("\nThe second sitting ends.")
	e.moveAll(ctx, "finished", without(second, second[6])...)
	e.sit(ctx, "21:30", late, late[5])

	e.say("\nTwo tables leave early, and guests from the street sit down at them.")
	e.moveAll(ctx, "finished", late[0], late[8])
	walkIns := []*party{g.at(1, "22:30", 90), g.at(9, "22:30", 0)}
	for _, p := range walkIns {
		e.book(ctx, p)
		e.say("  %s", p)
	}
	e.moveAll(ctx, "confirmed", walkIns...)
	e.moveAll(ctx, "seated", walkIns...)
	e.floorAt(ctx, "22:45")
	// Somebody who was seated can still turn out to be gone, without a bill.
	e.move(ctx, walkIns[1], "no_show")
	e.move(ctx, walkIns[0], "finished")
	e.moveAll(ctx, "finished", without(late, late[0], late[5], late[8])...)
	e.say("\nThe last guests leave.")
	e.floorAt(ctx, "23:30")
	return ctx.Err()
}

// bookSittings books three sittings, without tables 10 and 11 in the second, nor 12 in the first two.
func (e *evening) bookSittings(ctx context.Context, g *guests) (early, second, late []*party) {
	e.say("\nIn the afternoon the telephone rings.")
	for table := 1; table <= 11; table++ {
		early = append(early, g.at(table, "17:00", 0))
	}
	for table := 1; table <= 9; table++ {
		second = append(second, g.at(table, "19:00", 120))
	}
	for table := 1; table <= 11; table++ {
		late = append(late, g.at(table, "21:00", 150))
	}
	late = append(late, g.at(12, "21:30", 180)) // past midnight
	for _, sitting := range [][]*party{early, second, late} {
		for _, p := range sitting {
			if ctx.Err() == nil {
				e.book(ctx, p)
			}
		}
	}
	e.floorAt(ctx, "19:00")
	return early, second, late
}

// bookJoined books for a party that no single table seats.
func (e *evening) bookJoined(ctx context.Context) *party {
	p := &party{name: "the Wedding", size: 10, table: "table-10", joined: "table-11", start: "19:00"}
	e.say("\nTen guests want to sit together: two tables are joined.")
	e.book(ctx, p)
	if p.id == "" {
		return p
	}
	e.floorAt(ctx, "19:30")
	for _, table := range []string{p.table, p.joined} {
		list, err := e.client.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: e.place.ID, Date: e.date, TableId: table})
		if err != nil {
			e.differ("list by %s: %v", table, err)
			continue
		}
		found := 0
		for _, b := range list.GetBookings() {
			if b.GetId() == p.id {
				found++
				e.compare(p, b, "list by "+table)
			}
		}
		if found != 1 {
			e.differ("list by %s: %s is in it %d times", table, p, found)
		}
	}
	return p
}

// refuse tries what must not work, and repeats what must change nothing.
func (e *evening) refuse(ctx context.Context, first, other, large *party) {
	e.say("\nWhat must not work, does not.")
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, table := range []string{other.table, large.table, large.joined} {
		twice := e.request(&party{name: "Late Comer", size: 2, table: table, start: "19:15", key: "demo-twice-" + e.date + table})
		_, err := e.client.CreateBooking(ctx, twice)
		e.refused("booking "+table+" a second time, at 19:15", err, codes.AlreadyExists, "SLOT_TAKEN")
	}
	e.available(ctx, "19:00", map[string]bool{other.table: false, large.table: false, large.joined: false, "table-12": true})
	if first.id == "" {
		return
	}
	again, err := e.client.CreateBooking(ctx, e.request(first))
	if err != nil {
		e.differ("the same request again: refused with %v", err)
	} else {
		e.compare(first, again, "the same request again")
		e.say("  the same request again: the same booking")
	}
	changed := e.request(first)
	changed.PartySize++
	_, err = e.client.CreateBooking(ctx, changed)
	e.refused("another request under its key", err, codes.InvalidArgument, "IDEMPOTENCY_KEY_REUSED")
	_, err = e.ask(ctx, first.id, "seated")
	e.refused("seating a party that is not confirmed", err, codes.FailedPrecondition, "INVALID_TRANSITION")
	e.move(ctx, first, "confirmed")
	if b, err := e.ask(ctx, first.id, "confirmed"); err != nil {
		e.differ("confirming twice: refused with %v", err)
	} else {
		e.compare(first, b, "confirming twice")
	}
	if b, err := e.client.CreateBooking(ctx, e.request(first)); err != nil {
		e.differ("the same request once more: refused with %v", err)
	} else {
		e.compare(first, b, "the same request after the confirmation")
	}
}

// available expects tables to be free, or not, at a time.
func (e *evening) available(ctx context.Context, at string, want map[string]bool) {
	ask := &bookingpb.CheckTableAvailabilityRequest{
		VenueId: e.place.ID, Slot: &commonpb.Slot{Date: e.date, StartTime: at},
	}
	for _, t := range e.place.Tables {
		if _, ok := want[t.ID]; ok {
			ask.TableIds = append(ask.TableIds, t.ID)
		}
	}
	answer, err := e.client.CheckTableAvailability(ctx, ask)
	if err != nil {
		e.differ("availability at %s: %v", at, err)
		return
	}
	if len(answer.GetTables()) != len(ask.GetTableIds()) {
		e.differ("availability at %s: %d tables asked, %d answered", at, len(ask.GetTableIds()), len(answer.GetTables()))
	}
	for _, t := range answer.GetTables() {
		if t.GetAvailable() != want[t.GetTableId()] || t.GetAvailable() != (t.GetReason() == "") {
			e.differ("availability of %s at %s: %t (%s), but should be %t",
				t.GetTableId(), at, t.GetAvailable(), t.GetReason(), want[t.GetTableId()])
		}
	}
}

// letExpire lets a hold run out, until the service's worker finds it, and gives its table to others.
func (e *evening) letExpire(ctx context.Context, g *guests) (*party, error) {
	e.say("\nSomebody does not call back. Nobody wants to wait a quarter of an hour, so the demo moves the end of the hold in the database.")
	p := g.at(12, "19:00", 0)
	e.book(ctx, p)
	if p.id != "" {
		if err := e.runOut(ctx, p); err != nil {
			return nil, err
		}
		end := time.Now().Add(10 * time.Second)
		for {
			b, err := e.client.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: p.id})
			if err != nil {
				return nil, fmt.Errorf("read a hold: %w", err)
			}
			if b.GetStatus() == "expired" {
				break
			}
			if time.Now().After(end) {
				e.differ("%s: the hold has not been expired after 10 seconds", p)
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		p.become("expired")
		_, err := e.ask(ctx, p.id, "confirmed")
		e.refused("confirming it too late", err, codes.FailedPrecondition, "HOLD_EXPIRED")
	}
	next := g.at(12, "19:00", 0)
	e.book(ctx, next)
	return next, nil
}

// replaceOverdue books a table whose hold has run out just now, whether or not the service's worker
// has seen it.
func (e *evening) replaceOverdue(ctx context.Context, g *guests, p *party) (*party, error) {
	next := g.at(8, p.start, p.minutes)
	if p.id == "" {
		return next, nil
	}
	if err := e.runOut(ctx, p); err != nil {
		return nil, err
	}
	p.become("expired")
	e.book(ctx, next)
	e.say("  a hold that has just run out is not in the way of the next guests")
	return next, nil
}

// runOut ends a hold in the database.
func (e *evening) runOut(ctx context.Context, p *party) error {
	tag, err := e.db.Exec(ctx,
		`UPDATE bookings SET expires_at = now() - interval '1 second' WHERE id = $1 AND status = 'held'`, p.id)
	if err != nil {
		return fmt.Errorf("end a hold: %w", err)
	}
	if tag.RowsAffected() != 1 {
		e.differ("%s: the hold is not in the database", p)
	}
	return nil
}

// cancelAndRebook cancels a booking and gives its table to others at once.
func (e *evening) cancelAndRebook(ctx context.Context, g *guests, p *party, table int) *party {
	e.say("  %s: cancelled", p)
	e.move(ctx, p, "cancelled")
	next := g.at(table, p.start, p.minutes)
	e.book(ctx, next)
	return next
}

// confirmRest confirms every hold.
func (e *evening) confirmRest(ctx context.Context) {
	e.say("\nEverybody is called and confirms.")
	for _, p := range e.parties {
		if p.status == "held" {
			e.move(ctx, p, "confirmed")
		}
	}
}

// sit seats a sitting, but for a party that does not come.
func (e *evening) sit(ctx context.Context, at string, sitting []*party, missing *party) {
	e.say("\nGuests arrive.")
	e.moveAll(ctx, "seated", without(sitting, missing)...)
	e.say("  %s: nobody came", missing)
	e.move(ctx, missing, "no_show")
	e.floorAt(ctx, at)
}

func without(parties []*party, gone ...*party) []*party {
	var rest []*party
next:
	for _, p := range parties {
		for _, g := range gone {
			if p == g {
				continue next
			}
		}
		rest = append(rest, p)
	}
	return rest
}

// list reads all bookings of the evening.
func (e *evening) list(ctx context.Context) (*bookingpb.ListBookingsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return e.client.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: e.place.ID, Date: e.date, Limit: 500})
}

// floorAt prints the floor as the service knows it.
func (e *evening) floorAt(ctx context.Context, at string) {
	list, err := e.list(ctx)
	if err != nil {
		e.differ("list the bookings: %v", err)
		return
	}
	e.say("%s", floor(e.place, list.GetBookings(), at))
}

// sameTable tells whether an event names the party's tables.
func (e *evening) sameTable(p *party, told *commonpb.BookingEvent) bool {
	want := &commonpb.TableRef{VenueId: e.place.ID, RoomId: e.room(p.table), TableId: p.table}
	joined := joinedOf(told.GetJoinedTables())
	return proto.Equal(told.GetTable(), want) && fmt.Sprint(joined) == fmt.Sprint(p.partners())
}
