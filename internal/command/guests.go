package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	pgadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/postgres"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

const guestsHelp = `booking-svc guests erase --phone PHONE | --booking ID
Erases a guest's name, phone and comment from bookings that have ended, from the audit log, and from events in the
outbox. Settings come from the environment, as for serve. What Kafka already has stays there: see docs/guest-data.md.
`

// runGuests erases what guests told of themselves.
func runGuests(ctx context.Context, env Env, args []string) error {
	switch {
	case len(args) == 1 && asksForHelp(args[0]):
		args = []string{"--help"}
	case len(args) == 0 || args[0] != "erase":
		return usageErrorf("guests takes the command erase")
	default:
		args = args[1:]
	}
	e, err := parseErasure(env, args)
	if err != nil {
		return err
	}
	if !e.yes && !env.Terminal {
		return usageErrorf("guests erase asks before it erases something, and there is no terminal to ask: nothing was erased; give --yes")
	}
	return onDatabase(ctx, env, "guests erase", func(pool *pgxpool.Pool) error {
		return e.run(ctx, env, pgadapter.NewGuestData(pool))
	})
}

// erasure says whose data is meant: that of a phone number's digits, or of a booking.
type erasure struct {
	digits, booking string
	yes             bool
}

func parseErasure(env Env, args []string) (e erasure, err error) {
	flags := flag.NewFlagSet("guests erase", flag.ContinueOnError)
	flags.SetOutput(env.Stdout)
	phone := flags.String("phone", "", "bookings with this phone number, however it is written: its digits count")
	flags.StringVar(&e.booking, "booking", "", "the booking with this id")
	flags.BoolVar(&e.yes, "yes", false, "do not ask")
	rest, err := parseArguments(flags, guestsHelp, args)
	if err != nil {
		return e, err
	}
	if err := noArguments(flags.Name(), rest); err != nil {
		return e, err
	}
	e.digits = strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, *phone)
	switch {
	case (*phone == "") == (e.booking == ""):
		return e, usageErrorf("guests erase takes either --phone or --booking")
	case *phone != "" && e.digits == "":
		return e, usageErrorf("guests erase: --phone must have digits")
	case e.booking != "" && !dom.ValidID(e.booking):
		return e, usageErrorf("guests erase: --booking must be a booking's id")
	}
	return e, nil
}

// run finds the bookings, asks, erases, and says what it did, without any of what it erases.
func (e erasure) run(ctx context.Context, env Env, guests *pgadapter.GuestData) error {
	found, err := e.find(ctx, guests)
	if err != nil {
		return err
	}
	var due, active []pgadapter.GuestBooking
	var blank []string
	for _, b := range found {
		switch {
		case b.Status.Occupies():
			active = append(active, b)
		case b.Tells:
			due = append(due, b)
		default:
			blank = append(blank, b.ID)
		}
	}
	if len(blank) > 0 {
		// Its events may tell still, where an erasure was broken off.
		if _, err := guests.Erase(ctx, blank); err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "already erased: %s\n", countBookings(len(blank)))
	}
	if len(active) > 0 {
		fmt.Fprintf(env.Stderr, "%s not over: the guest is expected, or there. Cancel or end it first.\n", are(len(active)))
		if err := printGuestBookings(env.Stderr, active); err != nil {
			return err
		}
	}
	if len(due) > 0 {
		if !e.yes {
			if err := printGuestBookings(env.Stderr, due); err != nil {
				return err
			}
			if !confirm(ctx, env, fmt.Sprintf("What is erased cannot be brought back.\nerase the guest's data of %s?", countBookings(len(due)))) {
				return errors.New("not agreed to: nothing was erased")
			}
		}
		ids := make([]string, len(due))
		for i, b := range due {
			ids[i] = b.ID
		}
		erased, err := guests.Erase(ctx, ids)
		tellErased(env.Stdout, erased)
		if err != nil {
			return fmt.Errorf("%w (run it again: it goes on with what is left)", err)
		}
	}
	switch {
	case len(active) > 0:
		return fmt.Errorf("the guest's data of %s was not erased", countBookings(len(active)))
	case len(due) == 0:
		fmt.Fprintln(env.Stdout, "nothing to erase")
	}
	return nil
}

func (e erasure) find(ctx context.Context, guests *pgadapter.GuestData) ([]pgadapter.GuestBooking, error) {
	if e.booking == "" {
		return guests.FindByPhone(ctx, e.digits)
	}
	found, err := guests.FindByID(ctx, e.booking)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no booking %s", e.booking)
	}
	return found, err
}

func tellErased(w io.Writer, ids []string) {
	for _, id := range ids {
		fmt.Fprintf(w, "erased the guest's data of booking %s\n", id)
	}
	fmt.Fprintf(w, "erased the guest's data of %s\n", countBookings(len(ids)))
}

func printGuestBookings(w io.Writer, bookings []pgadapter.GuestBooking) error {
	table := newTable(w)
	fmt.Fprintln(table, "BOOKING\tSTATUS\tVENUE\tDATE")
	for _, b := range bookings[:min(len(bookings), maxTold)] {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", b.ID, b.Status, b.VenueID, b.Date.Format(time.DateOnly))
	}
	if more := len(bookings) - maxTold; more > 0 {
		fmt.Fprintf(table, "… and %d more\n", more)
	}
	return table.Flush()
}

func countBookings(n int) string {
	if n == 1 {
		return "1 booking"
	}
	return fmt.Sprintf("%d bookings", n)
}

// are says that so many bookings are.
func are(n int) string {
	if n == 1 {
		return "1 booking is"
	}
	return countBookings(n) + " are"
}
