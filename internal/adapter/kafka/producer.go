package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/propagation"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

// Headers of each Kafka message.
const (
	// HeaderEventID is the same however often an event is delivered.
	HeaderEventID = "event_id"
	// HeaderBookingVersion is the booking's version after the change: 1, 2, …
	HeaderBookingVersion = "booking_version"
	// HeaderTraceParent is the W3C trace context of the publishing, within the request's trace.
	HeaderTraceParent = "traceparent"
	// HeaderContentType tells how the value is written.
	HeaderContentType = "content-type"
	// ContentType is the value of HeaderContentType.
	ContentType = "application/json"
)

// Producer sends events to Kafka.
type Producer struct {
	client *kgo.Client
	m      *metrics.Metrics
}

var _ dom.EventPublisher = (*Producer)(nil)

// NewProducer answers a producer that sends through client. The caller closes the client.
func NewProducer(client *kgo.Client, m *metrics.Metrics) *Producer {
	return &Producer{client: client, m: m}
}

// Publish does what the port says. It takes no longer than the client's delivery timeout, once for
// all messages and once for each that was refused together with others.
func (p *Producer) Publish(ctx context.Context, messages []dom.OutboxMessage) []error {
	errs := p.send(ctx, messages)
	for i, err := range errs {
		// A broker refuses a whole batch of records, be it for one of them or for its size. Only
		// what is refused alone is at fault itself.
		if len(messages) > 1 && perBatch(err) {
			errs[i] = p.send(ctx, messages[i:i+1])[0]
		}
	}
	for i, err := range errs {
		if err == nil {
			p.m.EventPublished(messages[i].Topic)
			continue
		}
		if errors.Is(err, kerr.UnknownTopicID) {
			// The topic was deleted and made anew. The client holds on to the old one until it is
			// told to forget it, and would never send to the topic again.
			p.client.PurgeTopicsFromProducing(messages[i].Topic)
		}
		p.m.PublishFailed(messages[i].Topic)
		errs[i] = asDomain(err)
	}
	return errs
}

// Ping does what the port says. It asks all brokers at once: one that swallows packets must not hide
// those that answer.
func (p *Producer) Ping(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	brokers := append(p.client.DiscoveredBrokers(), p.client.SeedBrokers()...)
	answers := make(chan error, len(brokers))
	for _, b := range brokers {
		go func() {
			request := kmsg.NewPtrMetadataRequest()
			request.Topics = []kmsg.MetadataRequestTopic{}
			_, err := b.Request(ctx, request)
			answers <- err
		}()
	}
	var err error
	for range brokers {
		if err = <-answers; err == nil {
			return nil
		}
	}
	return &dom.UnavailableError{Dependency: dom.Kafka, Err: err}
}

// errUnanswered stands for a record whose fate was not known when the caller stopped waiting.
var errUnanswered = errors.New("not acknowledged in time")

// send produces the messages and waits for all acknowledgements, or until ctx is done.
func (p *Producer) send(ctx context.Context, messages []dom.OutboxMessage) []error {
	var mu sync.Mutex
	errs := make([]error, len(messages))
	for i := range errs {
		errs[i] = errUnanswered
	}
	var pending sync.WaitGroup
	pending.Add(len(messages))
	for i := range messages {
		r := record(&messages[i])
		p.client.Produce(requestTrace(ctx, messages[i].TraceParent), r, func(_ *kgo.Record, err error) {
			mu.Lock()
			errs[i] = err
			mu.Unlock()
			pending.Done()
		})
	}
	done := make(chan struct{})
	go func() {
		pending.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	// A copy, since late promises still write.
	mu.Lock()
	defer mu.Unlock()
	return append([]error(nil), errs...)
}

func record(m *dom.OutboxMessage) *kgo.Record {
	r := &kgo.Record{
		Topic: m.Topic,
		Key:   []byte(m.Key),
		Value: m.Payload,
		Headers: []kgo.RecordHeader{
			{Key: HeaderEventID, Value: []byte(m.EventID)},
			{Key: HeaderBookingVersion, Value: []byte(strconv.Itoa(m.BookingVersion))},
			{Key: HeaderContentType, Value: []byte(ContentType)},
		},
	}
	if m.TraceParent != "" {
		// The tracing hook replaces it by the span of the publishing, of the same trace.
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderTraceParent, Value: []byte(m.TraceParent)})
	}
	return r
}

// requestTrace answers ctx with the trace of the request that caused an event, so that the span of
// its publishing is part of that trace, however much later it is.
func requestTrace(ctx context.Context, traceParent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceParent})
}

// perBatch tells whether a broker says this of a batch because of one record in it.
func perBatch(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) ||
		errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp)
}

// asDomain sorts the errors of a record: its own faults, and all others, which may pass.
func asDomain(err error) error {
	if perBatch(err) ||
		errors.Is(err, kerr.InvalidTopicException) ||
		errors.Is(err, kerr.TopicAuthorizationFailed) ||
		errors.Is(err, kerr.ClusterAuthorizationFailed) ||
		errors.Is(err, kerr.UnsupportedForMessageFormat) {
		return fmt.Errorf("%w: %w", dom.ErrRecordRejected, err)
	}
	return &dom.UnavailableError{Dependency: dom.Kafka, Err: err}
}
