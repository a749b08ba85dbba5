package devstack

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Kafka is a broker inside this process that keeps its topics on disk.
type Kafka struct {
	// Broker is its address, host:port.
	Broker string

	cluster *kfake.Cluster
}

// StartKafka starts a broker on a port of 127.0.0.1, 0 for a free one, with what dir holds of
// earlier runs. It has no topics but those that its clients create.
func StartKafka(dir string, port int) (*Kafka, error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(dir))
	if err != nil {
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	return &Kafka{Broker: cluster.ListenAddrs()[0], cluster: cluster}, nil
}

// Stop ends the broker and its connections.
func (k *Kafka) Stop() { k.cluster.Close() }
