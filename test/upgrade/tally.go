package main

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// tally counts the guests' calls, by phase.
type tally struct {
	mu       sync.Mutex
	phases   []*phase
	problems []string
}

type phase struct {
	name string
	// calls were made; refused is a table that another guest has; repeated are creates whose answer was not
	// clear, which their client repeated; failed is all else.
	calls, refused, repeated, failed int
	longest                          time.Duration
	slowest                          string
}

func newTally() *tally { return &tally{} }

func (t *tally) count(name, method string, took time.Duration, err error, refused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.phase(name)
	p.calls++
	if took > p.longest {
		p.longest, p.slowest = took, method
	}
	var again *repeated
	switch {
	case err == nil:
	case errors.As(err, &again):
		p.repeated++
		fmt.Printf("upgrade: repeated in %q: %v\n", name, err)
	case refused:
		p.refused++
	default:
		p.failed++
		t.problems = append(t.problems, fmt.Sprintf("%s, %s after %v: %v", name, method, took.Round(time.Millisecond), err))
	}
}

// phase answers a phase by its name: calls of the one before may end after the first of the next.
func (t *tally) phase(name string) *phase {
	for _, p := range t.phases {
		if p.name == name {
			return p
		}
	}
	p := &phase{name: name}
	t.phases = append(t.phases, p)
	return p
}

func (t *tally) wrong(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

// print prints the table of docs/upgrade.md. spread is the attempts of the phases whose clients know all replicas.
func (t *tally) print(spread *attempts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Println("\n| phase | calls | table taken | creates repeated | failed | longest call |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	for _, p := range t.phases {
		fmt.Printf("| %s | %d | %d | %d | %d | %d ms, %s |\n", p.name, p.calls, p.refused, p.repeated, p.failed, p.longest.Milliseconds(), p.slowest)
	}
	fmt.Printf("\nCalls to all replicas: %d attempts, of which %d were sent on to another replica by gRPC.\n", spread.first.Load(), spread.moved.Load())
}
