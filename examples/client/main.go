// Command client is an example of a client of booking-svc: it holds a table, repeats the same request, asks for a
// table that is taken, makes a mistake, and confirms. docs/clients.md explains what it does and why.
//
//	go run ./examples/client --address localhost:50052
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

func main() {
	address := flag.String("address", "localhost:50052", "the service, host:port; a name with several addresses is balanced over")
	req := &bookingpb.CreateBookingRequest{
		Table: &commonpb.TableRef{}, Slot: &commonpb.Slot{}, PartySize: 2, CustomerName: "Ada Lovelace", AdminId: "example",
	}
	flag.StringVar(&req.VenueId, "venue", "venue-1", "id of the venue")
	flag.StringVar(&req.Table.TableId, "table", "table-1", "id of the table")
	flag.StringVar(&req.Slot.Date, "date", time.Now().AddDate(0, 0, 1).Format(time.DateOnly), "date, local to the venue")
	flag.StringVar(&req.Slot.StartTime, "time", "19:00", "start, local to the venue")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address, req, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "client: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, req *bookingpb.CreateBookingRequest, out io.Writer) error {
	conn, err := dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	service := bookingpb.NewBookingServiceClient(conn)
	c := &client{service: service}

	// The key belongs to what the guest asked for, not to the attempt: keep it with that until the answer is clear.
	req.IdempotencyKey = uuid.NewString()
	held, err := c.create(ctx, req)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	fmt.Fprintf(out, "held %s %s %s %s\n", held.Id, held.Table.TableId, held.Slot.Date, held.Slot.StartTime)

	again, err := c.create(ctx, req)
	if err != nil {
		return fmt.Errorf("the same request again: %w", err)
	}
	fmt.Fprintf(out, "same %s\n", again.Id)

	other := proto.CloneOf(req)
	other.IdempotencyKey = uuid.NewString()
	if _, err = c.create(ctx, other); err == nil {
		return fmt.Errorf("the table was sold twice")
	}
	fmt.Fprintln(out, "refused", describe(err))

	wrong := proto.CloneOf(other)
	wrong.PartySize, wrong.Slot.StartTime = 0, "7 pm"
	if _, err = c.create(ctx, wrong); err == nil {
		return fmt.Errorf("a party of nobody was booked")
	}
	fmt.Fprintln(out, "refused", describe(err))

	// Asking for the state that a booking is in already answers it, so this may be repeated: by the service config.
	confirmed, err := service.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: held.Id, AdminId: "example"})
	if err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	fmt.Fprintf(out, "%s %s\n", confirmed.Status, confirmed.Id)
	return nil
}
