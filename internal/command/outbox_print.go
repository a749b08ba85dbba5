package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	pgadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/postgres"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// maxErrorCell is how much of an error a table shows, in characters. `show` has all of it.
const maxErrorCell = 60

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// printEvents writes a table of events, without their payload.
func printEvents(w io.Writer, events []pgadapter.OutboxEvent) error {
	table := newTable(w)
	fmt.Fprintln(table, "ID\tSTATUS\tTOPIC\tBOOKING\tVERSION\tAGE\tRETRIES\tLAST ERROR")
	for _, e := range events {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%d\t%s\t%d\t%s\n", e.ID, e.Status, printable(e.Topic, ""),
			printable(e.BookingID, ""), e.BookingVersion, shortAge(e.Age), e.RetryCount, orDash(cell(e.LastError, maxErrorCell)))
	}
	return table.Flush()
}

// printDetails writes all of one event, and its payload when there is one.
func printDetails(w io.Writer, e *pgadapter.OutboxEvent, payload []byte) error {
	table := newTable(w)
	row := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	row("id", e.ID)
	row("status", e.Status)
	row("topic", printable(e.Topic, ""))
	row("booking", printable(e.BookingID, ""))
	row("version", e.BookingVersion)
	row("event id", printable(e.EventID, ""))
	row("shard", e.Shard)
	row("created", e.CreatedAt.UTC().Format(time.RFC3339)+" ("+shortAge(e.Age)+" ago)")
	if !e.SentAt.IsZero() {
		row("sent", e.SentAt.UTC().Format(time.RFC3339))
	}
	row("retries", e.RetryCount)
	row("last error", orDash(cell(e.LastError, len(e.LastError))))
	if payload == nil {
		row("payload", fmt.Sprintf("%d bytes, a guest's data: --payload shows it", e.PayloadSize))
	} else {
		row("payload", fmt.Sprintf("%d bytes", e.PayloadSize))
	}
	if err := table.Flush(); err != nil || payload == nil {
		return err
	}
	_, err := fmt.Fprintln(w, prettyPayload(payload))
	return err
}

// print writes the figures as tables.
func (s statsJSON) print(w io.Writer) error {
	table := newTable(w)
	fmt.Fprintln(table, "STATUS\tEVENTS\tOLDEST")
	for _, status := range states() {
		total := s.Events[status]
		oldest := "-"
		if total.Count > 0 {
			oldest = shortAge(fromSeconds(total.OldestAgeSeconds))
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", status, total.Count, oldest)
	}
	// A line without a tab ends a table's columns: those of the next part are as wide as they need.
	fmt.Fprintln(table)
	if len(s.Topics) > 0 {
		fmt.Fprintln(table, "TOPIC\tPENDING\tDLQ\tSENT")
		for _, t := range s.Topics {
			fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", printable(t.Topic, ""), t.Pending, t.DLQ, t.Sent)
		}
		fmt.Fprintln(table)
	}
	if len(s.Relays) > 0 {
		fmt.Fprintln(table, "RELAY\tSHARDS\tALIVE")
		for _, r := range s.Relays {
			alive := "yes"
			if !r.Alive {
				alive = "no, for " + shortAge(fromSeconds(r.GoneSeconds))
			}
			fmt.Fprintf(table, "%s\t%d\t%s\n", printable(r.ID, ""), r.Shards, alive)
		}
		fmt.Fprintln(table)
	}
	fmt.Fprint(table, unowned(s.UnownedShards))
	return table.Flush()
}

// unowned tells which shards wait for a relay.
func unowned(shards []int16) string {
	switch len(shards) {
	case 0:
		return fmt.Sprintf("Every one of the %d shards has a living relay.\n", dom.Shards)
	case dom.Shards:
		return "No shard has a living relay: nothing is sent. Is a booking-svc running, and ready?\n"
	}
	return fmt.Sprintf("Shards without a living relay, whose events wait: %d of %d (%s)\n", len(shards), dom.Shards, ranges(shards))
}

// ranges writes rising numbers as 0-3, 7.
func ranges(numbers []int16) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := strconv.Itoa(int(numbers[i]))
		if j > i {
			part += "-" + strconv.Itoa(int(numbers[j]))
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// shortAge writes an age with its two largest units.
func shortAge(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 2*day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

func fromSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// printable replaces what a terminal would obey instead of showing; the characters of keep stay.
func printable(s, keep string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || strings.ContainsRune(keep, r) {
			return r
		}
		return '?'
	}, s)
}

// cell writes text, which may have several lines, as one of at most limit characters.
func cell(s string, limit int) string {
	s = printable(strings.Join(strings.Fields(s), " "), "")
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return s
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
