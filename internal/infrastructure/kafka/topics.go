package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// createTimeout bounds one attempt to create the topics.
	createTimeout = 10 * time.Second
	// firstRetry and lastRetry bound the wait between two attempts.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// EnsureTopics creates those of the topics that are missing, with partitions and replicas each
// (replicas -1 for the broker's default). It tries until each exists, so it is run beside the
// service; what the broker does not allow is left to its operator, with one warning.
//
// Errors: that of ctx, when it is done first.
func EnsureTopics(ctx context.Context, client *kgo.Client, partitions int32, replicas int16, topics ...string) error {
	log := zerolog.Ctx(ctx)
	admin := kadm.NewClient(client)
	wait := firstRetry
	for attempt := 1; ; attempt++ {
		missing, err := createTopics(ctx, admin, partitions, replicas, topics)
		if len(missing) == 0 {
			return nil
		}
		// The first failures of a broker that starts up are of no interest.
		if attempt == 4 {
			log.Warn().Err(err).Strs("topics", missing).Msg("Topics are not created yet, trying on")
		}
		topics = missing
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
}

// createTopics tries once and answers the topics that are worth another try, and why one of them
// failed.
func createTopics(
	ctx context.Context, admin *kadm.Client, partitions int32, replicas int16, topics []string,
) (missing []string, cause error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	log := zerolog.Ctx(ctx)
	answers, err := admin.CreateTopics(ctx, partitions, replicas, nil, topics...)
	if err != nil && len(answers) == 0 {
		return topics, err
	}
	var forbidden []string
	for _, topic := range topics {
		answer, ok := answers[topic]
		err := answer.Err
		if !ok {
			err = errors.New("the broker did not answer for the topic")
		}
		switch {
		case err == nil:
			log.Info().Str("topic", topic).Int32("partitions", partitions).Msg("Topic created")
		case errors.Is(err, kerr.TopicAlreadyExists):
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
			forbidden = append(forbidden, topic)
		default:
			missing = append(missing, topic)
			cause = fmt.Errorf("topic %s: %w: %s", topic, err, answer.ErrMessage)
		}
	}
	if len(forbidden) > 0 {
		log.Warn().Strs("topics", forbidden).
			Msg("Not allowed to create topics; those that are missing must be created by an operator")
	}
	return missing, cause
}
