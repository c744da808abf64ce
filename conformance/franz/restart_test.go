package franz

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// TestKilledBroker kills the broker twice under an idempotent producer and a
// consumer group; each value must be there once and in order, and the group
// must see all and go on where it was.
func TestKilledBroker(t *testing.T) { harness.EachShards(t, testKilledBroker) }

func testKilledBroker(t *testing.T, b *harness.Broker) {
	s := &suite{broker: b}
	if !s.broker.Owned() {
		t.Skip("a broker that is not ours cannot be killed")
	}
	s.admin = kadm.NewClient(s.client(t))
	topic, group := s.topic(t, 1, nil), harness.Fresh("franz-group")
	producer := s.client(t, kgo.RecordRetries(1000), kgo.RetryTimeout(time.Minute), kgo.ProducerLinger(0))
	m := s.join(t, group, topic)

	count := harness.Pick(3000, 30000)
	failed := make(chan error, count)
	for i := range count {
		if i == count/3 || i == 2*count/3 {
			s.broker.Kill(t)
			s.broker.Restart(t)
		}
		producer.Produce(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) { failed <- err })
		if i%50 == 0 {
			time.Sleep(2 * time.Millisecond) // many batches, so that some are under way when it is killed
		}
	}
	for range count {
		harness.Must(t, <-failed)
	}
	s.admin = kadm.NewClient(s.client(t)) // one whose connections are alive
	wantNumbers(t, s.readAll(t, topic, count), 0)
	harness.Until(t, "the group has seen all", func() bool { _, _, _, seen := state(m); return seen == count })
	harness.Until(t, "the group has committed all", func() bool { return s.committed(t, group, topic) == int64(count) })
}
