package broker_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// TestMessageReader: messages that are larger and smaller than what is read at
// once, one after the other and from the start again, come as they were.
func TestMessageReader(t *testing.T) {
	f := newFixture(t, 1)
	c := newConsumer(f, "q", 0)
	var want [][]byte
	for i, size := range []int{10, 200_000, 1, 70_000, 0, 30_000, 30_000, 30_000, 500_000, 5, 64 << 10, 900, 40_000} {
		body := bytes.Repeat([]byte{byte('a' + i)}, size)
		want = append(want, body)
		m := broker.Message{Body: body, Time: f.clock.Now().UnixMilli()}
		c.submit(broker.SessionItem{Publish: &broker.Publish{
			Targets: []queue.ID{c.queue}, Message: queue.Message{Size: int64(size), ExpiresAfter: queue.None}, Batch: m.AppendBatch(nil),
		}})
		if i%4 == 3 {
			c.decide()
			c.flush()
		}
	}
	c.decide()
	c.flush()
	c.subscribe(0)
	if len(c.refs) != len(want) {
		t.Fatalf("%d of %d messages came", len(c.refs), len(want))
	}
	reader := c.session.Messages()
	for _, from := range []int{0, 3, 0} {
		for i := from; i < len(want); i++ {
			m, err := reader.Read(context.Background(), c.logs[i], c.refs[i].Offset)
			if err != nil || !bytes.Equal(m.Body, want[i]) {
				t.Fatalf("message %d: %d bytes, %v; want %d", i, len(m.Body), err, len(want[i]))
			}
		}
	}
}
