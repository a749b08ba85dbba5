// Command consumer is an example of a consumer of booking-svc's events: it reads the seven topics as
// a consumer group, drops repeats, puts the events of each booking in order, and writes a line of JSON
// for each. docs/events.md explains what it does and why.
//
//	go run ./examples/consumer --brokers localhost:9092 --group my-group
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// topics are those of booking-svc, one for each type of event.
var topics = []string{
	"booking.held", "booking.confirmed", "booking.cancelled", "booking.expired",
	"booking.seated", "booking.finished", "booking.no_show",
}

func main() {
	brokers := flag.String("brokers", "localhost:9092", "brokers to begin with, host:port, with commas")
	group := flag.String("group", "booking-events-example", "consumer group; each group gets every event")
	gap := flag.Duration("gap", 30*time.Second, "how long an event waits for one before it that is missing")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "consumer: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second Ctrl-C ends the process at once.
	err := run(ctx, config{
		brokers: strings.Split(*brokers, ","), group: *group, topics: topics, gap: *gap,
		out: os.Stdout, report: os.Stderr,
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "consumer: %v\n", err)
		os.Exit(1)
	}
}
