package kafka_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/kafka"
)

// Tests of what clients can make the server hold, and keep others from.

func memory(n int64) option {
	return func(_ *broker.Config, c *kafka.Config) { c.MemoryMax = n }
}

// sendHalf sends the first half of a produce whose frame has size bytes.
func sendHalf(t *testing.T, n *node, size int) *raw {
	t.Helper()
	conn := n.dial(t)
	b := make([]byte, 4+size/2)
	binary.BigEndian.PutUint32(b, uint32(size))
	copy(b[4:], []byte{0, 0, 0, 9, 0, 0, 0, 1})
	conn.Write(b) // it may be cut off meanwhile
	return conn
}

// mustProduce produces about that many bytes within a while.
func mustProduce(t *testing.T, n *node, size int, within time.Duration) {
	t.Helper()
	conn := n.dial(t)
	conn.SetDeadline(time.Now().Add(within))
	a := requestsFor(t, n, "orders")
	for _, p := range conn.ask(a.produceWide(size), 9).(*kmsg.ProduceResponse).Topics[0].Partitions {
		if p.ErrorCode != 0 {
			t.Fatalf("%d bytes: %v", size, kerr.ErrorForCode(p.ErrorCode))
		}
	}
}

// TestHalfFramesDoNotStarveOthers: connections that each send half of a large
// frame keep small requests from nothing, and large ones for a few seconds.
func TestHalfFramesDoNotStarveOthers(t *testing.T) {
	n := start(t, memory(32<<20))
	n.topic(t, "orders", 10)
	var halves []*raw
	for range 12 {
		halves = append(halves, sendHalf(t, n, 7_000_000))
	}
	time.Sleep(200 * time.Millisecond)
	mustProduce(t, n, 1000, time.Second)
	mustProduce(t, n, 700_000, time.Second)
	mustProduce(t, n, 6_000_000, 20*time.Second)
	// Who was slow lost, at least in part, and the server did not.
	lost := 0
	for _, h := range halves {
		h.SetDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := h.br.ReadByte(); err == io.EOF || err != nil && !isTimeout(err) {
			lost++
		}
	}
	if lost == 0 {
		t.Error("no slow connection was cut off")
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(interface{ Timeout() bool })
	return ok && ne.Timeout()
}

// TestHalvesOfSmallFramesDoNotStarveOthers is the same for the memory of small
// frames.
func TestHalvesOfSmallFramesDoNotStarveOthers(t *testing.T) {
	n := start(t, memory(32<<20))
	n.topic(t, "orders", 10)
	for range 40 {
		sendHalf(t, n, 900_000)
	}
	time.Sleep(200 * time.Millisecond)
	mustProduce(t, n, 1000, 20*time.Second)
	mustProduce(t, n, 700_000, 20*time.Second)
	mustProduce(t, n, 6_000_000, time.Second)
}

// TestASlowFrameIsNotHurriedWithoutNeed: it takes its time while nobody waits.
func TestASlowFrameIsNotHurriedWithoutNeed(t *testing.T) {
	n := start(t, memory(32<<20))
	n.topic(t, "orders", 1)
	conn := n.dial(t)
	a := requestsFor(t, n, "orders")
	b := encode(a.produceWide(500_000), 9, 1)
	for len(b) > 0 {
		k := min(len(b), 100_000)
		if _, err := conn.Write(b[:k]); err != nil {
			t.Fatal(err)
		}
		b = b[k:]
		time.Sleep(500 * time.Millisecond)
	}
	if p := conn.receive(a.last, 1).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
		t.Errorf("%+v", p)
	}
}

// TestUnreadResponsesDoNotStarveOthers: clients that ask for much and do not
// read it keep neither the requests of others nor their responses.
func TestUnreadResponsesDoNotStarveOthers(t *testing.T) {
	n := start(t, memory(32<<20))
	n.topic(t, "orders", 10)
	n.topic(t, "wide", 20_000)
	frame := encode(&kmsg.MetadataRequest{}, 12, 1)
	for range 30 {
		conn := n.dial(t)
		if _, err := conn.Write(bytes.Repeat(frame, 40)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	mustProduce(t, n, 1000, time.Second)
	mustProduce(t, n, 6_000_000, 2*time.Second)
	conn := n.dial(t)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if resp := conn.ask(&kmsg.MetadataRequest{}, 12).(*kmsg.MetadataResponse); len(resp.Topics) != 2 {
		t.Errorf("%d topics", len(resp.Topics))
	}
}

// TestRequestsBehindAWaitingOneHoldNoFrames: a client that sends large requests
// behind fetches that wait for long leaves them in its socket.
func TestRequestsBehindAWaitingOneHoldNoFrames(t *testing.T) {
	n := start(t, memory(32<<20))
	n.topic(t, "orders", 10)
	n.topic(t, "idle", 1)
	wait := requestsFor(t, n, "idle").fetch(0)
	wait.MaxWaitMillis, wait.MinBytes = 20_000, 1
	large := encode(&kmsg.DescribeGroupsRequest{Groups: make([]string, 180_000)}, 0, 1)
	large = append(large, make([]byte, 6_000_000)...) // bytes after the request do not matter
	binary.BigEndian.PutUint32(large, uint32(len(large)-4))
	for range 8 {
		conn := n.dial(t)
		for range 16 {
			conn.send(wait, 11)
		}
		go conn.Write(large)
	}
	time.Sleep(500 * time.Millisecond)
	mustProduce(t, n, 6_000_000, 2*time.Second)
}

// TestUnreadRecordsMakeRoom: clients that fetch much and do not read it hold
// buffers, so they are few; who reads is served.
func TestUnreadRecordsMakeRoom(t *testing.T) {
	n := start(t, memory(32<<20))
	topic := n.topic(t, "orders", 20)
	put(t, n, topic, strings.Repeat("x", 1_000_000))
	req := fetchOf(20, topic)
	req.MaxBytes = 100 << 20
	frame := encode(req, 12, 1)
	var greedy []*raw
	for range 40 { // 25 of them have room
		conn := n.dial(t)
		if _, err := conn.Write(bytes.Repeat(frame, 3)); err != nil {
			t.Fatal(err)
		}
		greedy = append(greedy, conn)
	}
	time.Sleep(500 * time.Millisecond)
	conn := n.dial(t)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if resp := conn.ask(req, 12).(*kmsg.FetchResponse); len(resp.Topics[0].Partitions[19].RecordBatches) < 1_000_000 {
		t.Errorf("got %d bytes of partition 19", len(resp.Topics[0].Partitions[19].RecordBatches))
	}
	cut := 0
	for _, g := range greedy {
		g.SetDeadline(time.Now().Add(10 * time.Second))
		if n, _ := io.Copy(io.Discard, g.br); n < 60_000_000 {
			cut++
		}
		g.Close()
		if cut > 0 {
			break
		}
	}
	if cut == 0 {
		t.Error("nobody who did not read was cut off")
	}
}
