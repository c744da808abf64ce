package kafka_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/kafka"
)

// TestAPartitionThatAFetchNamesTwice is fetched once, as it was named last.
func TestAPartitionThatAFetchNamesTwice(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 2)
	for range 3 {
		put(t, n, topic, "v")
	}
	conn := n.dial(t)
	for _, epoch := range []int32{-1, 0} { // without and with a session
		req := fetchOf(2, topic)
		req.SessionEpoch = epoch
		again := req.Topics[0].Partitions[0]
		again.FetchOffset = 2
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, again)
		req.Topics = append(req.Topics, req.Topics[0])
		resp := conn.ask(req, 12).(*kmsg.FetchResponse)
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
			t.Fatalf("session epoch %d: %+v", epoch, resp.Topics)
		}
		for i, want := range []int{1, 3} {
			p := resp.Topics[0].Partitions[i]
			if got := values(t, p.RecordBatches); p.Partition != int32(i) || len(got) != want {
				t.Errorf("session epoch %d: %d records of partition %d, want %d of %d", epoch, len(got), p.Partition, want, i)
			}
		}
	}
}

// TestAFetchWaitsForTenMinutesAtMost, on a clock of its own.
func TestAFetchWaitsForTenMinutesAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, kc := newBroker(t)
		n := &node{Broker: b}
		topic := n.topic(t, "idle", 1)
		kc.Advertised = func() (string, int32) { return "localhost", 1 }
		s := kafka.New(kc)
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeConn(context.Background(), server)
		}()
		req := fetchOf(1, topic)
		req.MinBytes, req.MaxWaitMillis = 1, 1<<31-1
		begun := time.Now()
		if _, err := client.Write(encode(req, 12, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 10*time.Minute {
			t.Errorf("it took %v", took)
		}
		client.Close()
		<-done
	})
}

// TestAWaitingFetchIsIdle, on a clock of its own: it looks at its partitions
// when it comes and when it begins to wait, and then not before something
// changes. Then it answers in the same moment, after a glance at the partition
// that changed and one look at all.
func TestAWaitingFetchIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, kc := newBroker(t)
		n := &node{Broker: b}
		topic, other := n.topic(t, "idle", 3), n.topic(t, "other", 1)
		kc.Advertised = func() (string, int32) { return "localhost", 1 }
		s := kafka.New(kc)
		var served sync.WaitGroup
		connect := func() *raw {
			client, server := net.Pipe()
			served.Go(func() { s.ServeConn(context.Background(), server) })
			return &raw{t: t, Conn: client, br: bufio.NewReader(client)}
		}
		reader, writer := connect(), connect()
		produce := func(topic *broker.Topic) {
			t.Helper()
			resp := writer.ask((&asker{t: t, topic: topic}).produce("v"), 13).(*kmsg.ProduceResponse)
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatalf("produce: error %d", code)
			}
		}

		req := fetchOf(3, topic)
		req.MinBytes, req.MaxWaitMillis = 1, 600_000
		id := reader.send(req, 13)
		synctest.Wait()
		if got := s.FetchLooks(); got != 6 {
			t.Errorf("%d looks until it waits, want 2 at each of 3 partitions", got)
		}
		time.Sleep(9 * time.Minute)
		produce(other)
		synctest.Wait()
		if got := s.FetchLooks(); got != 6 {
			t.Errorf("%d looks in 9 minutes of waiting", got-6)
		}

		begun := time.Now()
		produce(topic)
		resp := reader.receive(req, id).(*kmsg.FetchResponse)
		if took := time.Since(begun); took != 0 {
			t.Errorf("the fetch was answered %v after the produce began", took)
		}
		if got := values(t, resp.Topics[0].Partitions[0].RecordBatches); !slices.Equal(got, []string{"v"}) {
			t.Errorf("fetched %q", got)
		}
		if got := s.FetchLooks(); got != 6+1+3 {
			t.Errorf("%d looks for one change, want 1 and 3", got-6)
		}
		reader.Close()
		writer.Close()
		served.Wait()
	})
}

// TestWaitingFetchesMakeRoom: fetches that wait for very much are answered
// early when others need the memory, and keep nobody from working.
func TestWaitingFetchesMakeRoom(t *testing.T) {
	n := start(t, memory(32<<20))
	n.topic(t, "orders", 1)
	wide := n.topic(t, "wide", 15_000)
	req := fetchOf(15_000, wide)
	req.MinBytes, req.MaxWaitMillis = 1, 25_000
	conns := map[*raw]int32{}
	for range 4 {
		conn := n.dial(t)
		conns[conn] = conn.send(req, 12)
	}
	time.Sleep(500 * time.Millisecond)
	mustProduce(t, n, 1000, 10*time.Second)
	early := 0
	for conn, id := range conns {
		conn.SetReadDeadline(time.Now().Add(8 * time.Second))
		if _, err := conn.br.Peek(4); isTimeout(err) {
			continue // the last one may wait
		}
		resp := conn.receive(req, id).(*kmsg.FetchResponse)
		if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 15_000 {
			t.Errorf("error %d, %d topics", resp.ErrorCode, len(resp.Topics))
		}
		early++
	}
	if early != 3 {
		t.Errorf("%d of 4 fetches were answered early; one fits the memory", early)
	}
}

// TestAFetchWaitsForEnough: what comes in several partitions, little by
// little, is added up, and what a limit cuts off is enough.
func TestAFetchWaitsForEnough(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 5)
	value := strings.Repeat("x", 1000)
	waiting := func(change func(*kmsg.FetchRequest)) (conn *raw, receive func() []int) {
		req := fetchOf(5, topic)
		req.MinBytes, req.MaxWaitMillis = 4000, 20_000
		for i := range req.Topics[0].Partitions {
			p := &req.Topics[0].Partitions[i]
			p.FetchOffset = topic.Partitions[i].Bounds().HighWatermark
		}
		change(req)
		conn = n.dial(t)
		id := conn.send(req, 12)
		return conn, func() (counts []int) {
			for _, p := range conn.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions {
				counts = append(counts, len(values(t, p.RecordBatches)))
			}
			return counts
		}
	}
	more := func(partition int) { putBatch(t, n, topic.Partitions[partition], batch(t, value)) }
	silent := func(conn *raw) {
		t.Helper()
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := conn.br.Peek(1); !isTimeout(err) {
			t.Fatalf("answered too early: %v", err)
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	}

	conn, receive := waiting(func(*kmsg.FetchRequest) {})
	for _, i := range []int{1, 3, 1} {
		more(i)
		silent(conn)
	}
	more(4)
	if got := receive(); !slices.Equal(got, []int{0, 2, 0, 1, 1}) {
		t.Errorf("added up: %v", got)
	}

	// A batch that is larger than what is asked for of its partition.
	conn, receive = waiting(func(req *kmsg.FetchRequest) {
		req.Topics[0].Partitions[2].PartitionMaxBytes = 500
	})
	more(0)
	silent(conn)
	more(2)
	if got := receive(); got[0]+got[2] == 0 {
		t.Errorf("cut off: %v", got)
	}

	// An error.
	conn, receive = waiting(func(*kmsg.FetchRequest) {})
	more(0)
	silent(conn)
	if err := n.DeleteTopic(context.Background(), topic.ID); err != nil {
		t.Fatal(err)
	}
	if got := receive(); len(got) != 5 {
		t.Errorf("deleted: %v", got)
	}
}

// TestAFetchIsAnsweredAtItsLimit: when a partition has more than the fetch may
// take of it, waiting brings nothing, also if what it takes meets the limit
// exactly or the limit is nothing at all. It used to look at all partitions
// again for each change, until max_wait.
func TestAFetchIsAnsweredAtItsLimit(t *testing.T) {
	one := int32(len(batch(t, "v")))
	for name, c := range map[string]struct {
		limits [2]int32 // of the partitions
		fill   []int    // partitions that get a batch before and
		change int      // one that gets some while the fetch waits
	}{
		"exactly":    {[2]int32{one, 1 << 20}, []int{0}, 0},
		"of two":     {[2]int32{2 * one, 1 << 20}, []int{0, 0}, 0},
		"no room":    {[2]int32{1 << 20, 0}, []int{0}, 1},
		"a negative": {[2]int32{1 << 20, -1}, []int{0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t)
			topic := n.topic(t, "orders", 2)
			for _, i := range c.fill {
				putBatch(t, n, topic.Partitions[i], batch(t, "v"))
			}
			req := fetchOf(2, topic)
			req.MinBytes, req.MaxWaitMillis = 1<<19, 600_000
			for i, limit := range c.limits {
				req.Topics[0].Partitions[i].PartitionMaxBytes = limit
			}
			conn := n.dial(t)
			id := conn.send(req, 12)
			for range 3 {
				putBatch(t, n, topic.Partitions[c.change], batch(t, "v"))
			}
			got := 0
			for _, p := range conn.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions {
				got += len(values(t, p.RecordBatches))
			}
			if got != len(c.fill) {
				t.Errorf("%d records, want %d", got, len(c.fill))
			}
		})
	}
}

// TestSessionsRememberNoLongNames: a name that no topic can have is answered,
// and not kept.
func TestSessionsRememberNoLongNames(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	conn := n.dial(t)
	long := &broker.Topic{Name: strings.Repeat("x", 250)}
	req := fetchOf(1, topic, long)
	req.SessionEpoch = 0
	if resp := conn.ask(req, 12).(*kmsg.FetchResponse); resp.SessionID != 0 || len(resp.Topics) != 2 {
		t.Errorf("session %d, %d topics", resp.SessionID, len(resp.Topics))
	}
	req = fetchOf(1, topic)
	req.SessionEpoch = 0
	id := conn.ask(req, 12).(*kmsg.FetchResponse).SessionID
	next := fetchOf(1, long)
	next.SessionID, next.SessionEpoch = id, 1
	if resp := conn.ask(next, 12).(*kmsg.FetchResponse); id == 0 || resp.ErrorCode == 0 {
		t.Errorf("session %d: %+v", id, resp)
	}
}

// TestAClientThatBlocksItselfIsCutOff: one that sends more and more behind
// requests that wait is not read, so its leaving would not be seen.
func TestAClientThatBlocksItselfIsCutOff(t *testing.T) {
	n := start(t, setting("connections.max.idle.ms", "500"))
	topic := n.topic(t, "idle", 1)
	wait := fetchOf(1, topic)
	wait.MinBytes, wait.MaxWaitMillis = 1, 25_000
	blocked, patient := n.dial(t), n.dial(t)
	id := patient.send(wait, 12)
	for range 17 {
		blocked.send(wait, 12)
	}
	blocked.SetDeadline(time.Now().Add(5 * time.Second))
	blocked.closed()
	putBatch(t, n, topic.Partitions[0], batch(t, "v"))
	if resp := patient.receive(wait, id).(*kmsg.FetchResponse); resp.ErrorCode != 0 {
		t.Errorf("one that only waits: %s", fmt.Sprint(resp))
	}
}
