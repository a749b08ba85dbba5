package grpc

import "time"

// crewIdle is how long a goroutine of a crew waits for its next job. It is short because a stack that
// grew for a job is kept as long.
const crewIdle = 200 * time.Millisecond

// crew runs jobs on goroutines that are used again. The stack of a new goroutine is copied four times
// until it is large enough for a call: a tenth of what a read costs.
type crew struct{ jobs chan func() }

func newCrew() crew { return crew{jobs: make(chan func())} }

// run starts a job and does not wait for it.
func (c crew) run(job func()) {
	select {
	case c.jobs <- job:
	default:
		go c.work(job)
	}
}

func (c crew) work(job func()) {
	idle := time.NewTimer(crewIdle)
	defer idle.Stop()
	for {
		job()
		idle.Reset(crewIdle)
		select {
		case job = <-c.jobs:
		case <-idle.C:
			return
		}
	}
}
