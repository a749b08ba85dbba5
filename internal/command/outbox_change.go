package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	pgadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/postgres"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// change is what an operator decides about events that were given up.
type change struct {
	// done is the verb's past: the name of the command is the verb.
	done string
	// warning is said before the question.
	warning string
	apply   func(outbox *pgadapter.OutboxAdmin, ctx context.Context, ids []int64) ([]int64, error)
	// record tells to print each event: nothing else will know of it.
	record bool
}

func outboxRetry(ctx context.Context, env Env, c outboxCommand, args []string) error {
	return runChange(ctx, env, c, args, change{done: "retried", apply: (*pgadapter.OutboxAdmin).Retry})
}

func outboxDiscard(ctx context.Context, env Env, c outboxCommand, args []string) error {
	return runChange(ctx, env, c, args, change{
		done: "discarded", apply: (*pgadapter.OutboxAdmin).Discard, record: true,
		warning: "What is discarded never reaches Kafka.\n",
	})
}

// selection says which dlq events are meant: those of ids, or else those that the filter chooses.
type selection struct {
	ids    []int64
	filter pgadapter.OutboxFilter
}

// runChange chooses events, asks, changes them and says what it did.
func runChange(ctx context.Context, env Env, c outboxCommand, args []string, ch change) error {
	chosen, yes, err := c.selection(env, args)
	if err != nil {
		return err
	}
	if !yes && !env.Terminal {
		return usageErrorf("outbox %s asks before it changes something, and there is no terminal to ask: "+
			"nothing was changed; give --yes", c.name)
	}
	return c.on(ctx, env, func(outbox *pgadapter.OutboxAdmin) error {
		return c.change(ctx, env, outbox, chosen, yes, ch)
	})
}

// selection reads which events are meant, and whether it was agreed to already.
func (c outboxCommand) selection(env Env, args []string) (s selection, yes bool, err error) {
	flags := c.flags(env)
	all := flags.Bool("all", false, "all dlq events")
	filterFlags(flags, &s.filter)
	status := flags.String("status", "", "dlq, as list takes it: only such events can be chosen")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	rest, err := c.parse(flags, args)
	if err != nil {
		return s, false, err
	}
	if err := checkFilter(flags, s.filter); err != nil {
		return s, false, err
	}
	for _, arg := range rest {
		id, err := eventID(c, arg)
		if err != nil {
			return s, false, err
		}
		s.ids = append(s.ids, id)
	}
	slices.Sort(s.ids)
	s.ids = slices.Compact(s.ids)
	filtered := s.filter != pgadapter.OutboxFilter{} || *status != ""
	switch {
	case *status != "" && *status != string(dom.OutboxDLQ):
		return s, false, usageErrorf("outbox %s: --status can only be dlq: a pending event is being relayed, a sent one has arrived", c.name)
	case len(s.ids) == 0 && !*all && !filtered:
		return s, false, usageErrorf("outbox %s: say which events: their ids, --topic, --booking, --older-than, or --all", c.name)
	case len(s.ids) > 0 && (*all || filtered), *all && filtered:
		return s, false, usageErrorf("outbox %s takes either ids, or filters, or --all", c.name)
	}
	return s, yes, nil
}

func (c outboxCommand) change(
	ctx context.Context, env Env, outbox *pgadapter.OutboxAdmin, s selection, yes bool, ch change,
) error {
	events, missed, err := choose(ctx, env, outbox, s, ch)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		if missed > 0 {
			return fmt.Errorf("nothing was %s", ch.done)
		}
		_, err := fmt.Fprintf(env.Stdout, "no dlq event is chosen by that: nothing to %s\n", c.name)
		return err
	}
	if !yes {
		if err := printChosen(env.Stderr, events); err != nil {
			return err
		}
		if !confirm(ctx, env, fmt.Sprintf("%s%s %s?", ch.warning, c.name, count(len(events)))) {
			return errors.New("not agreed to: nothing was changed")
		}
	}
	ids := make([]int64, len(events))
	for i := range events {
		ids[i] = events[i].ID
	}
	changed, err := ch.apply(outbox, ctx, ids)
	tell(env.Stdout, events, changed, ch)
	if err != nil {
		return fmt.Errorf("%w (what is still dlq can be chosen again)", err)
	}
	if late := without(ids, changed); len(late) > 0 {
		found, err := outbox.Find(ctx, late)
		if err != nil {
			return err
		}
		explain(env.Stderr, late, found, ch)
		missed += len(late)
	}
	if missed > 0 {
		return fmt.Errorf("%s not %s", count(missed), ch.done)
	}
	return nil
}

// choose answers the dlq events that are meant, and how many were named that are no such events; it
// says of each of those why.
func choose(
	ctx context.Context, env Env, outbox *pgadapter.OutboxAdmin, s selection, ch change,
) (events []pgadapter.OutboxEvent, missed int, err error) {
	if len(s.ids) == 0 {
		events, err = outbox.List(ctx, []dom.OutboxStatus{dom.OutboxDLQ}, s.filter, 0)
		return events, 0, err
	}
	found, err := outbox.Find(ctx, s.ids)
	if err != nil {
		return nil, 0, err
	}
	var ids []int64
	for _, e := range found {
		if e.Status == dom.OutboxDLQ {
			events, ids = append(events, e), append(ids, e.ID)
		}
	}
	others := without(s.ids, ids)
	explain(env.Stderr, others, found, ch)
	return events, len(others), nil
}

// maxTold is how many events are told one by one, where their number says enough.
const maxTold = 20

// explain says of each event why it is not changed. found has those that are in the outbox.
func explain(w io.Writer, ids []int64, found []pgadapter.OutboxEvent, ch change) {
	states := make(map[int64]dom.OutboxStatus, len(found))
	for _, e := range found {
		states[e.ID] = e.Status
	}
	for _, id := range ids[:min(len(ids), maxTold)] {
		switch states[id] {
		case dom.OutboxPending:
			fmt.Fprintf(w, "event %d is pending: it is being relayed, and goes out as soon as Kafka takes it; it cannot be %s\n", id, ch.done)
		case dom.OutboxSent:
			fmt.Fprintf(w, "event %d is sent: Kafka has it; it cannot be %s\n", id, ch.done)
		case dom.OutboxDLQ:
			fmt.Fprintf(w, "event %d was changed by someone else just now, and is dlq again\n", id)
		default:
			fmt.Fprintln(w, unknownEvent(id))
		}
	}
	if more := len(ids) - maxTold; more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
}

func unknownEvent(id int64) string {
	return fmt.Sprintf("event %d is not in the outbox: unknown, discarded, or sent longer ago than OUTBOX_RETENTION", id)
}

// printChosen shows what is asked about.
func printChosen(w io.Writer, events []pgadapter.OutboxEvent) error {
	if err := printEvents(w, events[:min(len(events), maxTold)]); err != nil {
		return err
	}
	if more := len(events) - maxTold; more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
	return nil
}

// confirm asks on the terminal. Only y or yes is a yes; the end of the input, or a signal, is a no.
func confirm(ctx context.Context, env Env, question string) bool {
	fmt.Fprintf(env.Stderr, "%s [y/N] ", question)
	answer := make(chan string, 1)
	// A read cannot be broken off: after a signal it ends with the process.
	go func() {
		line, err := bufio.NewReader(env.Stdin).ReadString('\n')
		if err != nil {
			line = "" // Half a line is no answer.
		}
		answer <- line
	}()
	line := ""
	select {
	case line = <-answer:
	case <-ctx.Done():
	}
	if line == "" {
		fmt.Fprintln(env.Stderr) // The cursor still stands behind the question.
	}
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}

// tell says what was changed.
func tell(w io.Writer, events []pgadapter.OutboxEvent, changed []int64, ch change) {
	if ch.record {
		done := toSet(changed)
		for _, e := range events {
			if done[e.ID] {
				fmt.Fprintf(w, "%s event %d: %s, booking %s, version %d, event id %s\n", ch.done, e.ID,
					printable(e.Topic, ""), printable(e.BookingID, ""), e.BookingVersion, printable(e.EventID, ""))
			}
		}
	}
	fmt.Fprintf(w, "%s %s", ch.done, count(len(changed)))
	if !ch.record && len(changed) > 0 && len(changed) <= maxTold {
		texts := make([]string, len(changed))
		for i, id := range changed {
			texts[i] = strconv.FormatInt(id, 10)
		}
		fmt.Fprintf(w, ": %s", strings.Join(texts, ", "))
	}
	fmt.Fprintln(w)
}

func count(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}

// without answers those of all that are not in some.
func without(all, some []int64) []int64 {
	set := toSet(some)
	return slices.DeleteFunc(slices.Clone(all), func(id int64) bool { return set[id] })
}

func toSet(ids []int64) map[int64]bool {
	set := make(map[int64]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}
