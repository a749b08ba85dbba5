//go:build integration

package service

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// received is an event as a consumer has it.
type received struct {
	topic   string
	id      string
	version int
	headers map[string]string
	event   *commonpb.BookingEvent
}

func topics(events []received) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.topic
	}
	return list
}

// readEvents waits until n different events of a booking have come, and answers them by version. It
// fails when an event is repeated with another id, or one of them is wrong. What comes later it does
// not see: that there are no more is for the outbox to tell.
func readEvents(t *testing.T, bookingID string, n int) []received {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	byBooking := consume(ctx, t, map[string]int{bookingID: n})
	return byBooking[bookingID]
}

// consume reads the seven topics from the start until each booking has as many different events as
// wanted, or the context ends. Events are answered by rising version.
func consume(ctx context.Context, t *testing.T, want map[string]int) map[string][]received {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(testenv.KafkaBrokers(t)...), kgo.ConsumeTopics(dom.Topics()...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	require.NoError(t, err)
	defer client.Close()
	got := make(map[string][]received)
	complete := func() bool {
		for id, n := range want {
			if len(got[id]) < n {
				return false
			}
		}
		return true
	}
	for !complete() {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			for id, n := range want {
				require.Len(t, got[id], n, "events of %s", id)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			id := string(r.Key)
			if _, wanted := want[id]; !wanted {
				return
			}
			e := parse(t, r)
			if i := slices.IndexFunc(got[id], func(have received) bool { return have.version == e.version }); i >= 0 {
				require.Equal(t, got[id][i].id, e.id, "a repeat has the id of the first")
				return
			}
			got[id] = append(got[id], e)
		})
	}
	for id := range got {
		slices.SortFunc(got[id], func(a, b received) int { return a.version - b.version })
		for i, e := range got[id] {
			require.Equal(t, i+1, e.version, "versions have no gap")
		}
	}
	return got
}

func parse(t *testing.T, r *kgo.Record) received {
	t.Helper()
	e := received{topic: r.Topic, headers: make(map[string]string), event: &commonpb.BookingEvent{}}
	for _, h := range r.Headers {
		e.headers[h.Key] = string(h.Value)
	}
	e.id = e.headers["event_id"]
	require.NotEmpty(t, e.id)
	var err error
	e.version, err = strconv.Atoi(e.headers["booking_version"])
	require.NoError(t, err)
	require.Equal(t, "application/json", e.headers["content-type"])
	require.NoError(t, protojson.Unmarshal(r.Value, e.event))
	require.Equal(t, string(r.Key), e.event.BookingId)
	return e
}
