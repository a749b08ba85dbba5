package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A scene is a gatherer whose connections, and the outcomes of whose batches, a test gives.
type scene struct {
	*gatherer[string]
	connections, outcomes chan error
	batches               chan []string
}

func newScene() *scene {
	s := &scene{connections: make(chan error), outcomes: make(chan error), batches: make(chan []string, 100)}
	s.gatherer = &gatherer[string]{run: func(ctx context.Context, take func() []*member[string]) error {
		select {
		case err := <-s.connections:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		batch := take()
		if len(batch) == 0 {
			return nil
		}
		var ids []string
		for _, m := range batch {
			ids = append(ids, m.work)
		}
		s.batches <- ids
		err := <-s.outcomes
		for _, m := range batch {
			m.settle(err)
		}
		return nil
	}}
	return s
}

// start begins a create and waits until it is in the queue.
func (s *scene) start(ctx context.Context, id, key string) <-chan error {
	answer := make(chan error, 1)
	once := [][2]string{{id}}
	if key != "" {
		once = append(once, [2]string{"v", key})
	}
	go func() { answer <- s.do(ctx, id, once...) }()
	synctest.Wait()
	return answer
}

// gathered runs a test in which every goroutine ends.
func gathered(t *testing.T, test func(*testing.T, *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		test(t, s)
		synctest.Wait()
		require.Empty(t, s.queue)
		require.Zero(t, s.workers)
		require.Zero(t, s.late)
	})
}

func TestLonelyCreateIsABatchOfItsOwn(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		for range 3 {
			answer := s.start(t.Context(), "b", "key")
			s.connections <- nil
			require.Equal(t, []string{"b"}, <-s.batches)
			s.outcomes <- nil
			require.NoError(t, <-answer)
		}
	})
}

func TestCreatesGatherWhileBatchesRun(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		var answers []<-chan error
		join := func(n int) {
			for range n {
				answers = append(answers, s.start(t.Context(), fmt.Sprint(len(answers)), ""))
			}
		}
		next := func(first, n int) {
			s.connections <- nil
			batch := <-s.batches
			require.Len(t, batch, n)
			require.Equal(t, fmt.Sprint(first), batch[0])
		}
		join(1)
		next(0, 1)
		join(3)
		select {
		case s.connections <- nil:
			t.Fatal("a second batch while the first has not run for long")
		default:
		}
		time.Sleep(patience)
		next(1, 3)
		time.Sleep(patience)
		join(batchSize + 2)
		select {
		case s.connections <- nil:
			t.Fatal("a third batch")
		default:
		}
		s.outcomes <- errTaken
		next(4, batchSize)
		join(1)
		s.outcomes <- nil
		next(4+batchSize, 3)
		s.outcomes <- nil
		s.outcomes <- nil
		taken := 0
		for _, answer := range answers {
			if err := <-answer; err != nil {
				require.Equal(t, errTaken, err)
				taken++
			}
		}
		require.Contains(t, []int{1, 3}, taken, "those of one of the first two batches")
	})
}

func TestCallerLeavesTheQueue(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		leaving, leave := context.WithCancel(t.Context())
		stays := s.start(t.Context(), "stays", "")
		leaves := s.start(leaving, "leaves", "")
		leave()
		var no *notStarted
		err := <-leaves
		require.ErrorAs(t, err, &no)
		require.ErrorIs(t, err, context.Canceled)
		s.connections <- nil
		require.Equal(t, []string{"stays"}, <-s.batches)
		s.outcomes <- nil
		require.NoError(t, <-stays)

		// One who comes too late does not get in.
		require.ErrorAs(t, <-s.start(leaving, "late", ""), &no)
		require.Zero(t, s.workers)
	})
}

// Nobody waits for a connection when all have left; one who comes then waits anew.
func TestAllLeaveTheQueue(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		leaving, leave := context.WithCancel(t.Context())
		leaves := []<-chan error{s.start(leaving, "1", ""), s.start(leaving, "2", "")}
		time.Sleep(patience)
		synctest.Wait()
		require.Equal(t, batchesAtOnce, s.workers)
		leave()
		for _, answer := range leaves {
			require.ErrorIs(t, <-answer, context.Canceled)
		}
		synctest.Wait()
		require.Zero(t, s.workers)
		stays := s.start(t.Context(), "stays", "")
		s.connections <- nil
		s.outcomes <- nil
		require.NoError(t, <-stays)
	})
}

func TestCallerLeavesABatchThatRuns(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		leaving, leave := context.WithCancel(t.Context())
		answer := s.start(leaving, "b", "")
		s.connections <- nil
		<-s.batches
		leave()
		synctest.Wait()
		require.Empty(t, answer)
		s.outcomes <- nil
		require.NoError(t, <-answer)
	})
}

func TestNoConnectionForABatch(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		away := errors.New("away")
		var answers []<-chan error
		for i := range batchSize + 2 {
			answers = append(answers, s.start(t.Context(), fmt.Sprint(i), ""))
		}
		s.connections <- away
		for _, answer := range answers {
			err := <-answer
			require.ErrorIs(t, err, away)
			require.False(t, repeatable(err), "nothing has begun")
		}
		answer := s.start(t.Context(), "later", "")
		s.connections <- nil
		s.outcomes <- nil
		require.NoError(t, <-answer)
	})
}

// Creates of which one would make the other's batch fail are not in one batch; the later one is not
// tried before the first is decided.
func TestSameKeyIsNotInABatchTwice(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		first := s.start(t.Context(), "first", "key")
		other := s.start(t.Context(), "other", "other key")
		sameKey := s.start(t.Context(), "second", "key")
		sameBooking := s.start(t.Context(), "other", "")
		s.connections <- nil
		require.Equal(t, []string{"first", "other"}, <-s.batches)
		synctest.Wait()
		require.Empty(t, sameKey)
		require.Empty(t, sameBooking)
		s.outcomes <- nil
		require.NoError(t, <-first)
		require.NoError(t, <-other)
		require.Equal(t, errAlone, <-sameKey)
		require.Equal(t, errAlone, <-sameBooking)
	})
}

// A batch whose connection is dead does not keep those who come after it for as long as it takes to notice.
func TestStuckBatchesAreNotWaitedFor(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		var stuck []<-chan error
		for i := range batchesAtOnce {
			stuck = append(stuck, s.start(t.Context(), fmt.Sprint("stuck", i), ""))
			s.connections <- nil
			<-s.batches
			time.Sleep(patience)
		}
		waits := s.start(t.Context(), "waits", "")
		select {
		case s.connections <- nil:
			t.Fatal("a third batch while two have not run for long")
		default:
		}
		time.Sleep(stuckAfter)
		s.connections <- nil
		require.Equal(t, []string{"waits"}, <-s.batches)
		for range batchesAtOnce + 1 {
			s.outcomes <- nil
		}
		require.NoError(t, <-waits)
		for _, answer := range stuck {
			require.NoError(t, <-answer)
		}
	})
}

// What panics in a batch panics in nobody's goroutine but its caller's.
func TestPanicInABatch(t *testing.T) {
	gathered(t, func(t *testing.T, s *scene) {
		run := s.run
		s.run = func(ctx context.Context, take func() []*member[string]) error {
			take()
			panic("a fault")
		}
		require.Equal(t, errAlone, <-s.start(t.Context(), "b", ""))
		s.run = run
		answer := s.start(t.Context(), "b", "")
		s.connections <- nil
		s.outcomes <- nil
		require.NoError(t, <-answer)
	})
}
