package kafka_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/kafka"
)

// TestErrorsAreCounted: every error code of a response counts, by the
// protocol's names, whichever way the response takes.
func TestErrorsAreCounted(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	n := start(t, func(_ *broker.Config, c *kafka.Config) {
		c.Metrics.Error = func(key, code int16, times int) {
			mu.Lock()
			defer mu.Unlock()
			got[kafka.APIName(key)+" "+kafka.ErrorName(code)] += times
		}
	})
	topic := n.topic(t, "orders", 1)
	conn := n.dial(t)
	none := &broker.Topic{Name: "none", Partitions: make([]*broker.Partition, 2)}
	produce := requestsFor(t, n, "orders").produce("v")
	produce.Topics[0].Partitions = append(produce.Topics[0].Partitions,
		kmsg.ProduceRequestTopicPartition{Partition: 1, Records: batch(t, "v")}, kmsg.ProduceRequestTopicPartition{Partition: 0})
	session := fetchOf(1, topic)
	session.SessionID, session.SessionEpoch = 7, 1
	id := "tx"
	for _, c := range []struct {
		req     kmsg.Request
		version int16
		want    map[string]int
	}{
		{produce, 9, map[string]int{"Produce UNKNOWN_TOPIC_OR_PARTITION": 1, "Produce INVALID_RECORD": 1}},
		{fetchOf(2, none), 12, map[string]int{"Fetch UNKNOWN_TOPIC_OR_PARTITION": 2}},
		{session, 12, map[string]int{"Fetch FETCH_SESSION_ID_NOT_FOUND": 1}},
		{&kmsg.HeartbeatRequest{Group: "g", MemberID: "nobody"}, 4, map[string]int{"Heartbeat UNKNOWN_MEMBER_ID": 1}},
		{&kmsg.FindCoordinatorRequest{CoordinatorType: 2, CoordinatorKeys: []string{"a", "b", "c"}}, 6, map[string]int{"FindCoordinator INVALID_REQUEST": 3}},
		{&kmsg.InitProducerIDRequest{TransactionalID: &id}, 4, map[string]int{"InitProducerId TRANSACTIONAL_ID_AUTHORIZATION_FAILED": 1}},
		{&kmsg.SASLHandshakeRequest{}, 1, map[string]int{"SaslHandshake ILLEGAL_SASL_STATE": 1}},
		{&kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("orders")}}}, 9, map[string]int{}},
	} {
		conn.ask(c.req, c.version)
		mu.Lock()
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: counted %s, want %s", kmsg.NameForKey(c.req.Key()), fmt.Sprint(got), fmt.Sprint(c.want))
		}
		clear(got)
		mu.Unlock()
	}
}
