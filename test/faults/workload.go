package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	colliders = 12
	// window is how many days the colliding clients book on at a time, and shift after how long the
	// first of them is left for a new one: so that a day's history stays short enough to be checked.
	window = 6
	shift  = 6 * time.Second
)

// workload is all clients of a run.
type workload struct {
	h       *history
	routing routing
	wg      sync.WaitGroup
	stop    context.CancelFunc
	giveUp  context.CancelFunc

	mu sync.Mutex
	// known are the bookings of a day that may still change.
	known map[string][]string
	// read are bookings of the measuring clients.
	read []string
}

// startWorkload starts the clients: those that collide on few tables, and those that measure how fast
// reads, and creates of other tables, go on.
func startWorkload(h *history, r routing, seed uint64) *workload {
	w := &workload{h: h, routing: r, known: make(map[string][]string)}
	stop, cancel := context.WithCancel(context.Background())
	giveUp, cancelLater := context.WithCancel(context.Background())
	w.stop, w.giveUp = cancel, cancelLater
	start := func(name string, n uint64, loop func(*client)) {
		c := &client{name: name, h: h, routing: r, rnd: rand.New(rand.NewPCG(seed, n)), stop: stop, giveUp: giveUp}
		w.wg.Go(func() { loop(c) })
	}
	for i := range uint64(colliders) {
		start(fmt.Sprintf("c%d", i), i, w.collide)
	}
	for i, table := range probes {
		n := uint64(i)
		start(fmt.Sprintf("p%d", i), 100+n, func(c *client) { w.create(c, table) })
		start(fmt.Sprintf("r%d", i), 200+n, w.reads)
	}
	return w
}

// end lets the clients finish what they do, and waits for them.
func (w *workload) end() {
	w.stop()
	late := time.AfterFunc(insist, w.giveUp)
	w.wg.Wait()
	late.Stop()
	w.giveUp()
}

// day is a date n days ahead of the first day that the colliding clients book on.
func (w *workload) day(n int) string { return w.h.Began.AddDate(0, 0, 300+n).Format("2006-01-02") }

// collide books, changes and reads on few tables, with overlapping sittings.
func (w *workload) collide(c *client) {
	for c.pause(c.stop, 10, 50) {
		date := w.day(int(c.h.now()/shift) + c.rnd.IntN(window))
		sitting := &operation{Date: date, From: 18*60 + 15*c.rnd.IntN(24), Minutes: 15 * (1 + c.rnd.IntN(10))}
		id := w.some(c, date)
		switch n := c.rnd.IntN(100); {
		case n < 35 || id == "":
			w.book(c, sitting)
		case n < 80:
			if o := c.change(date, id, w.wish(c)); o.ok() && ended(o.Status) || o.State != "" && ended(o.State) {
				w.forget(date, id)
			}
		case n < 86:
			c.get(date, id)
		case n < 90:
			c.list(date, contested[c.rnd.IntN(len(contested))])
		default:
			sitting.Tables = contested
			c.check(sitting)
		}
	}
}

func (w *workload) book(c *client, o *operation) {
	table := contested[c.rnd.IntN(len(contested))]
	o.Tables, o.Party = []string{table}, 2
	if other := partner[table]; other != "" && c.rnd.IntN(2) == 0 {
		o.Tables, o.Party = append(o.Tables, other), jointParty
	}
	c.create(o)
	if o.ok() {
		w.mu.Lock()
		w.known[o.Date] = append(w.known[o.Date], o.BookingID)
		w.mu.Unlock()
	}
}

// wish picks the state that a change asks for, possible or not.
func (w *workload) wish(c *client) string {
	states := []string{"confirmed", "confirmed", "confirmed", "confirmed", "cancelled", "cancelled", "seated", "seated", "finished", "no_show"}
	return states[c.rnd.IntN(len(states))]
}

func ended(state string) bool {
	switch state {
	case "cancelled", "finished", "no_show", "expired":
		return true
	}
	return false
}

// some picks a booking of a day, "" when none is known.
func (w *workload) some(c *client, date string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ids := w.known[date]; len(ids) > 0 {
		return ids[c.rnd.IntN(len(ids))]
	}
	return ""
}

// forget leaves an ended booking alone from now on.
func (w *workload) forget(date, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, known := range w.known[date] {
		if known == id {
			w.known[date] = append(w.known[date][:i], w.known[date][i+1:]...)
			return
		}
	}
}

// slotsOfDay is how many sittings of a quarter of an hour a measuring client books on a day, from three
// o'clock on: earlier a night in spring has no such time.
const slotsOfDay = 80

// create books a table that no other client books, sitting after sitting.
func (w *workload) create(c *client, table string) {
	for k := 0; c.pause(c.stop, 15, 25); k++ {
		o := &operation{
			Date:   w.h.Began.AddDate(0, 0, 2+k/slotsOfDay).Format("2006-01-02"),
			Tables: []string{table}, From: 3*60 + 15*(k%slotsOfDay), Minutes: 15, Party: 2,
		}
		c.create(o)
		if o.ok() && k%10 == 0 {
			w.mu.Lock()
			w.read = append(w.read, o.BookingID)
			w.mu.Unlock()
		}
	}
}

// reads reads in all three ways.
func (w *workload) reads(c *client) {
	for c.pause(c.stop, 8, 12) {
		w.mu.Lock()
		id := ""
		if len(w.read) > 0 {
			id = w.read[c.rnd.IntN(len(w.read))]
		}
		w.mu.Unlock()
		date := w.h.Began.AddDate(0, 0, 2).Format("2006-01-02")
		switch n := c.rnd.IntN(10); {
		case n < 6 && id != "":
			c.get("", id)
		case n < 9:
			c.check(&operation{Date: date, Tables: probes, From: 12 * 60, Minutes: 15})
		default:
			c.list(date, probes[0])
		}
	}
}
