package command

import (
	"context"
	"flag"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	pgadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/app"
	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
)

// outboxCommand is one of outbox's own commands.
type outboxCommand struct {
	name, arguments, meaning string
	// run gets the arguments after the name.
	run func(ctx context.Context, env Env, c outboxCommand, args []string) error
}

func outboxCommands() []outboxCommand {
	return []outboxCommand{
		{"stats", "[--json]", "How many events are pending, dlq and sent, and who relays them.", outboxStats},
		{
			"list", "[flags]",
			"Lists events, the oldest first; those that are pending or dlq when nothing else is asked for.", outboxList,
		},
		{
			"show", "ID [--payload] [--json]",
			"Shows all of one event. Its payload holds a guest's name and phone: it is left out without --payload.", outboxShow,
		},
		{
			"retry", "ID... | --all | filters",
			"Makes dlq events pending again, with no failure counted; the relay sends them by itself.\n" +
				"A retried event comes after its booking's later events: consumers see that in booking_version.", outboxRetry,
		},
		{
			"discard", "ID... | --all | filters",
			"Removes dlq events from the outbox, so that they never reach Kafka. booking_events keeps them.", outboxDiscard,
		},
	}
}

const outboxNames = "stats, list, show, retry, discard"

// runOutbox shows the events on their way to Kafka, and decides about those that were given up.
func runOutbox(ctx context.Context, env Env, args []string) error {
	if len(args) == 0 {
		return usageErrorf("outbox takes one of %s", outboxNames)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(env.Stdout, "Events on their way to Kafka. Settings come from the environment, as for serve.\n\n")
		for _, c := range outboxCommands() {
			fmt.Fprintln(env.Stdout, c.help())
		}
		return nil
	}
	for _, c := range outboxCommands() {
		if c.name == args[0] {
			return c.run(ctx, env, c, args[1:])
		}
	}
	return usageErrorf("outbox takes one of %s, not %q", outboxNames, args[0])
}

func (c outboxCommand) help() string {
	return fmt.Sprintf("booking-svc outbox %s %s\n%s\n", c.name, c.arguments, c.meaning)
}

// flags answers an empty set of flags. Help that is asked for is output, and so goes to Stdout.
func (c outboxCommand) flags(env Env) *flag.FlagSet {
	flags := flag.NewFlagSet("outbox "+c.name, flag.ContinueOnError)
	flags.SetOutput(env.Stdout)
	return flags
}

// parse reads flags and other arguments.
func (c outboxCommand) parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	return parseArguments(flags, c.help(), args)
}

// on lets work use the outbox of the settings. An error of work names the command.
func (c outboxCommand) on(ctx context.Context, env Env, work func(*pgadapter.OutboxAdmin) error) error {
	return onDatabase(ctx, env, "outbox "+c.name, func(pool *pgxpool.Pool) error {
		return work(pgadapter.NewOutboxAdmin(pool))
	})
}

// onDatabase lets work use the database of the settings, by one connection. An error of work names the command.
func onDatabase(ctx context.Context, env Env, command string, work func(*pgxpool.Pool) error) error {
	cfg, err := config.Load(env.Environ)
	if err != nil {
		return err
	}
	o := app.PostgresOptions(cfg)
	o.MaxConns = 1
	pool, err := postgres.NewPool(ctx, o)
	if err != nil {
		return err
	}
	defer pool.Close()
	err = ready(ctx, o, pool)
	if err == nil {
		err = work(pool)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// firstAnswer is how long the database may take to be reached and to tell its schema's version.
const firstAnswer = 8 * time.Second

// ready answers an error unless the database answers and has the schema that is needed.
func ready(ctx context.Context, o postgres.Options, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		return fmt.Errorf("PostgreSQL at %s cannot be used: %w", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), err)
	}
	return app.CheckSchema(ctx, pool)
}

// filterFlags adds the flags that choose events.
func filterFlags(flags *flag.FlagSet, f *pgadapter.OutboxFilter) {
	flags.StringVar(&f.Topic, "topic", "", "only events of this topic, as booking.held")
	flags.StringVar(&f.BookingID, "booking", "", "only events of this booking id")
	flags.DurationVar(&f.OlderThan, "older-than", 0, "only events of at least this age, as 90s, 10m or 24h")
}

// checkFilter refuses filters that were given and choose nothing in particular: the variable of a
// script that happens to be empty must not mean all events.
func checkFilter(flags *flag.FlagSet, f pgadapter.OutboxFilter) (err error) {
	flags.Visit(func(given *flag.Flag) {
		if (given.Name == "topic" || given.Name == "booking" || given.Name == "status") && given.Value.String() == "" {
			err = usageErrorf("%s: --%s must not be empty", flags.Name(), given.Name)
		}
	})
	if err == nil && f.OlderThan < 0 {
		err = usageErrorf("%s: --older-than must not be negative", flags.Name())
	}
	return err
}

// eventID reads the id of an event.
func eventID(c outboxCommand, arg string) (int64, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || id < 1 {
		return 0, usageErrorf("outbox %s: an event's id is a number, as `outbox list` shows it, not %q", c.name, arg)
	}
	return id, nil
}
