package booking

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// maxLate is how long after its start a sitting may still be booked: a walk-in is often typed late.
const maxLate = 30 * time.Minute

// CreateBooking holds a table, or the table and one joined to it, for a party.
//
// Errors: *dom.ValidationError, dom.ErrKeyReused, dom.ErrSlotTaken, *dom.TableUnavailableError,
// *dom.UnavailableError.
func (s *Service) CreateBooking(ctx context.Context, c CreateCommand) (b *dom.Booking, err error) {
	ctx, end := startSpan(ctx, "CreateBooking", attribute.String("venue.id", c.VenueID))
	defer func() { end(err) }()

	b, err = c.validate()
	if err != nil {
		return nil, err
	}
	// Of what the request names: who calls may have another name when it is repeated.
	hash := requestHash(b)
	b.AdminID = adminID(ctx, b.AdminID)
	if prior, err := s.replay(ctx, c, hash); err != nil || prior != nil {
		return prior, err
	}
	err = s.create(ctx, b, c.IdempotencyKey, hash)
	if err == nil {
		return b, nil
	}
	// The same request may have won meanwhile; then its booking is the answer. When that cannot be
	// found out, a refusal would be a guess.
	if prior, replayErr := s.replay(ctx, c, hash); prior != nil || replayErr != nil {
		return prior, replayErr
	}
	return nil, err
}

// replay answers the booking that the request made before under its key, nil if there is none.
//
// Errors: dom.ErrKeyReused.
func (s *Service) replay(ctx context.Context, c CreateCommand, hash []byte) (*dom.Booking, error) {
	if c.IdempotencyKey == "" {
		return nil, nil
	}
	prior, priorHash, err := s.repo.FindByKey(ctx, c.VenueID, c.IdempotencyKey)
	switch {
	case errors.Is(err, dom.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case string(priorHash) != string(hash):
		return nil, dom.ErrKeyReused
	}
	return prior, nil
}

func (s *Service) create(ctx context.Context, b *dom.Booking, key string, hash []byte) error {
	zone, err := s.zone(ctx, b.VenueID)
	unknown := errors.Is(err, dom.ErrVenueUnknown)
	if err != nil && !unknown {
		return err
	}
	if !unknown {
		if err := s.resolve(b, zone); err != nil {
			return err
		}
	}
	offers, err := s.venue.CheckAvailability(ctx, b.VenueID, b.Slot, b.PartySize)
	if err != nil {
		return err
	}
	options, refusal := choose(b, offers)
	switch {
	case unknown && refusal != nil:
		return refusal
	case unknown:
		return &dom.UnavailableError{Dependency: dom.Venue, Err: errors.New("offers a table of a venue that it does not know")}
	case refusal != nil:
		return s.refuse(ctx, b, refusal)
	}
	return s.hold(ctx, b, options, dom.NewBooking{
		Booking: b, HoldTTL: s.cfg.HoldTTL, IdempotencyKey: key, RequestHash: hash, Origin: s.origin(ctx),
	})
}

// resolve fixes the sitting as instants and checks what depends on the clock.
func (s *Service) resolve(b *dom.Booking, zone *time.Location) error {
	var v validation
	var err error
	b.TimeZone = zone.String()
	b.Sitting, err = b.Slot.Resolve(zone)
	now := s.now()
	switch {
	case err != nil:
		v.add("slot.start_time", err.Error())
	case b.Sitting.Start.Before(now.Add(-maxLate)):
		v.add("slot.start_time", fmt.Sprintf("must not lie more than %d minutes in the past", maxLate/time.Minute))
	case b.Sitting.Start.After(now.Add(s.cfg.MaxAdvance)):
		v.add("slot.date", fmt.Sprintf("must not lie more than %d days ahead", s.cfg.MaxAdvance/(24*time.Hour)))
	}
	return v.err()
}

// option is a way to seat the party: on the asked table alone, or joined with another.
type option struct {
	roomID string
	joined []dom.TableRef
}

// choose answers the ways in which the venue offers the asked table, in its order: the table alone
// if it is large enough, else with each partner. The asked table may be either side of a pair.
func choose(b *dom.Booking, offers []dom.TableOffer) ([]option, *dom.TableUnavailableError) {
	var alone, pairs []option
	refusal := &dom.TableUnavailableError{}
	for _, o := range offers {
		table, partner := o.Table, o.Joined
		if table.TableID != b.Table.TableID && partner != nil && partner.TableID == b.Table.TableID {
			table, partner = *o.Joined, &o.Table
		}
		if table.TableID != b.Table.TableID {
			continue
		}
		switch {
		case !o.Available:
			refusal.Reason = o.Reason
		case partner == nil:
			alone = append(alone, option{roomID: table.RoomID})
		default:
			pairs = append(pairs, option{roomID: table.RoomID, joined: []dom.TableRef{*partner}})
		}
	}
	switch {
	case len(alone) > 0:
		return alone[:1], nil
	case len(pairs) > 0:
		return pairs, nil
	}
	return nil, refusal
}

// refuse answers why the venue does not offer the table: a booking of ours, or the venue's reason.
func (s *Service) refuse(ctx context.Context, b *dom.Booking, refusal *dom.TableUnavailableError) error {
	taken, err := s.repo.TakenTables(ctx, b.VenueID, []string{b.Table.TableID}, b.Sitting)
	if err != nil {
		return err
	}
	if taken[b.Table.TableID] {
		return dom.ErrSlotTaken
	}
	return refusal
}

// hold writes the booking by the first option that is free.
func (s *Service) hold(ctx context.Context, b *dom.Booking, options []option, n dom.NewBooking) error {
	own, err := s.takeHold(ctx, b, b.Table.TableID)
	if err != nil {
		return err
	}
	room := b.Table.RoomID
	for _, o := range options {
		b.Table.RoomID, b.Joined = room, o.joined
		if room == "" {
			b.Table.RoomID = o.roomID
		}
		if err = s.holdOption(ctx, b, own, n); !errors.Is(err, dom.ErrSlotTaken) {
			break
		}
	}
	if own.mine && err != nil && !outcomeUnknown(err) {
		s.releaseHolds(ctx, b, []string{own.key})
	}
	return err
}

func (s *Service) holdOption(ctx context.Context, b *dom.Booking, own hold, n dom.NewBooking) error {
	holds := []hold{own}
	for _, t := range b.Joined {
		h, err := s.takeHold(ctx, b, t.TableID)
		if err != nil {
			return err
		}
		holds = append(holds, h)
	}
	expired, err := s.repo.CreateBooking(ctx, n)
	if err != nil {
		if errors.Is(err, dom.ErrSlotTaken) {
			s.metrics.HoldLost()
		}
		if !outcomeUnknown(err) {
			for _, h := range holds[1:] {
				if h.mine {
					s.releaseHolds(ctx, b, []string{h.key})
				}
			}
		}
		return err
	}
	for _, gone := range expired {
		s.afterChange(ctx, gone, "")
	}
	s.afterChange(ctx, b, b.AdminID)
	for _, h := range holds {
		s.keepHold(ctx, b, h)
	}
	return nil
}

// outcomeUnknown tells whether a create that failed may have been committed all the same. Its keys
// are then left to their time limit.
func outcomeUnknown(err error) bool {
	var away *dom.UnavailableError
	return errors.As(err, &away) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// requestHash identifies a request by its normalised fields, each with its length before it.
func requestHash(b *dom.Booking) []byte {
	h := sha256.New()
	for _, field := range []string{
		b.VenueID, b.Table.RoomID, b.Table.TableID, b.Slot.DateText(), b.Slot.StartText(),
		fmt.Sprint(b.Slot.Minutes()), fmt.Sprint(b.PartySize), b.CustomerName, b.CustomerPhone,
		b.Comment, b.AdminID,
	} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(field)))
		h.Write(length[:])
		h.Write([]byte(field))
	}
	return h.Sum(nil)
}
