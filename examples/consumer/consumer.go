package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type config struct {
	brokers []string
	group   string
	topics  []string
	// gap is how long an event waits for one before it that is missing.
	gap time.Duration
	// out takes a line for each event, report what is odd.
	out, report io.Writer
}

const (
	// pollTime is the longest wait for records, so that gaps are looked at when none come.
	pollTime = 500 * time.Millisecond
	// requestTimeout bounds a commit, and a question for offsets.
	requestTimeout = 5 * time.Second
)

// consumer has no memory but Kafka's: everything before the group's committed offsets was applied,
// and nothing else is known to be. So it reads the topics from their start each time it is given
// partitions, and only notes what lies before the committed offsets. It never commits past an event
// that waits for one before it; that event comes again after a restart.
type consumer struct {
	config
	client *kgo.Client
	log    *log.Logger

	// mu guards what follows: the group's callbacks run beside the loop.
	mu        sync.Mutex
	sequence  *sequence
	positions map[partition]*position
	// ends are where the partitions ended at the moment asked; nil when nothing is to be known.
	ends  map[partition]int64
	asked time.Time
}

type partition struct {
	topic  string
	number int32
}

// position is how far a partition is read, as offsets of the next record.
type position struct{ committed, next int64 }

// run consumes until ctx is done. Errors: bad settings, or what out answered; what it did not take
// comes again.
func run(ctx context.Context, cfg config) (err error) {
	c := &consumer{config: cfg, log: log.New(cfg.report, "", log.LstdFlags)}
	c.forget()
	c.client, err = kgo.NewClient(
		kgo.SeedBrokers(cfg.brokers...), kgo.ConsumerGroup(cfg.group), kgo.ConsumeTopics(cfg.topics...),
		// The topics have equally many partitions, and a booking is in the same one of each. This
		// balancer gives a member the same partitions of each topic, and with them whole bookings.
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(c.assigned), kgo.OnPartitionsRevoked(c.revoked),
		// Topics that the service makes later are found soon.
		kgo.MetadataMaxAge(10*time.Second),
	)
	if err != nil {
		return err
	}
	defer c.client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		if err := c.step(ctx); err != nil {
			return err
		}
		c.client.AllowRebalance()
	}
	return nil
}

// assigned notes what the group has committed, and goes to the start of each partition instead.
func (c *consumer) assigned(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range offsets {
		for number, offset := range partitions {
			// Below 0 means that nothing was committed yet.
			c.positions[partition{topic, number}] = &position{committed: max(0, offset.EpochOffset().Offset)}
			partitions[number] = kgo.NewOffset().AtStart()
		}
	}
	return offsets, nil
}

// revoked forgets everything: the balancer takes all partitions away before it shares them anew.
// What was applied is committed by then, as nothing is taken away in the middle of a step.
func (c *consumer) revoked(context.Context, *kgo.Client, map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
}

func (c *consumer) forget() {
	c.sequence, c.positions, c.ends = newSequence(), make(map[partition]*position), nil
}

// step reads what is there, applies what is due, and only then commits.
func (c *consumer) step(ctx context.Context) error {
	poll, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	fetches := c.client.PollFetches(poll)
	fetches.EachError(func(topic string, number int32, err error) {
		if poll.Err() == nil || !errors.Is(err, poll.Err()) {
			c.log.Printf("kafka: %v (topic %q, partition %d)", err, topic, number)
		}
	})

	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.apply(ctx, fetches, time.Now()); err != nil {
		return fmt.Errorf("apply an event: %w", err)
	}
	// What was applied just before Ctrl-C is committed all the same.
	c.commit(context.WithoutCancel(ctx))
	return nil
}

// apply applies what the records make ready, and what has waited long enough.
func (c *consumer) apply(ctx context.Context, fetches kgo.Fetches, now time.Time) error {
	for records := fetches.RecordIter(); !records.Done(); {
		for _, e := range c.take(records.Next(), now) {
			if err := e.apply(c.out); err != nil {
				return err
			}
		}
	}
	for _, g := range c.gaps(ctx, now) {
		c.log.Printf("gap: booking %s: version %v did not come within %v, going on without", g.bookingID, g.missing, c.gap)
		for _, e := range g.events {
			if err := e.apply(c.out); err != nil {
				return err
			}
		}
	}
	return nil
}

// take notes a record as read and answers the events that it makes ready to be applied.
func (c *consumer) take(r *kgo.Record, now time.Time) []*event {
	at := c.positions[partition{r.Topic, r.Partition}]
	at.next = r.Offset + 1
	before := r.Offset < at.committed
	e, err := parse(r)
	switch {
	case err != nil && before:
		return nil // It was reported then.
	case err != nil:
		c.log.Printf("no event: %s/%d offset %d: %v", r.Topic, r.Partition, r.Offset, err)
		return nil
	case before:
		return c.sequence.passed(e, now)
	}
	return c.sequence.add(e, now)
}

// gaps answers the gaps that have been open for too long. The service sends a booking's events one after
// the other, so what comes before an event that was read is in Kafka already if it was ever sent. It
// may be in a partition that is not read as far; so nothing counts as missing before all partitions
// are read to where they ended after the event came.
func (c *consumer) gaps(ctx context.Context, now time.Time) []gap {
	if c.ends == nil {
		if !c.sequence.waits(now.Add(-c.gap)) || now.Sub(c.asked) < pollTime {
			return nil
		}
		c.asked = now
		ends, err := c.listEnds(ctx)
		if err != nil {
			c.log.Printf("ask for the ends of the topics: %v", err)
			return nil
		}
		c.ends = ends
	}
	for p, end := range c.ends {
		if c.positions[p].next < end {
			return nil
		}
	}
	c.ends = nil
	return c.sequence.overdue(c.asked.Add(-c.gap), now)
}

// listEnds answers where this member's partitions end, but for those with nothing in them.
func (c *consumer) listEnds(ctx context.Context) (map[partition]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	admin := kadm.NewClient(c.client)
	starts, err := admin.ListStartOffsets(ctx, c.topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, err
	}
	listed, err := admin.ListEndOffsets(ctx, c.topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	ends := make(map[partition]int64)
	for p := range c.positions {
		start, _ := starts.Lookup(p.topic, p.number)
		if end, _ := listed.Lookup(p.topic, p.number); start.Offset < end.Offset {
			ends[p] = end.Offset
		}
	}
	return ends, nil
}

// commit tells the group how far all was applied: not past an event that waits. What cannot be
// committed is committed with the next batch, or comes again.
func (c *consumer) commit(ctx context.Context) {
	ends := make(map[partition]int64)
	for p, at := range c.positions {
		ends[p] = at.next
	}
	for _, w := range c.sequence.early {
		for _, e := range w.events {
			p := partition{e.record.Topic, e.record.Partition}
			ends[p] = min(ends[p], e.record.Offset)
		}
	}
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for p, end := range ends {
		if end <= c.positions[p].committed {
			continue
		}
		if offsets[p.topic] == nil {
			offsets[p.topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[p.topic][p.number] = kgo.EpochOffset{Epoch: -1, Offset: end}
	}
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	c.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			c.log.Printf("commit: %v", err)
			return
		}
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					c.log.Printf("commit %s/%d: %v", t.Topic, p.Partition, err)
					continue
				}
				c.positions[partition{t.Topic, p.Partition}].committed = ends[partition{t.Topic, p.Partition}]
			}
		}
	})
}
