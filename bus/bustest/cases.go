package bustest

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// attributes: what goes in comes out.
func attributes(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	full := bus.Message{
		Topic: at, Key: "\x00key\xff\xfe", ID: strings.Repeat("id", 200), Source: "/orders", Type: "order.placed",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC), ContentType: "application/json", Body: []byte("\x00\xff{}"),
		Headers: []bus.Header{
			{Name: "again", Value: []byte("1")}, {Name: "again", Value: []byte("\xff2")}, {Name: "empty", Value: []byte{}},
			{Name: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
		},
	}
	short := bus.Message{Topic: at, ID: "second"}
	publish(t, b, full, short)
	got := newSeen()
	subscribe(t, b, one(at, 1), func(_ context.Context, d *bus.Delivery) error { got.add(d); return nil })
	for _, d := range got.awaitIDs(t, 2) {
		want := full
		if d.ID == short.ID {
			want = short
		}
		sameMessage(t, d.Message, want)
		if (d.Position != nil) != p.Log || d.Redelivered || d.Attempt != 1 {
			t.Errorf("position %v, redelivered %v, attempt %d", d.Position, d.Redelivered, d.Attempt)
		}
		if p.Log && (d.Position.Topic != at || d.Position.Offset < 0) {
			t.Errorf("position %v", d.Position)
		}
	}
}

func sameMessage(t *testing.T, got, want bus.Message) {
	t.Helper()
	if !got.Time.Equal(want.Time) || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("time %v, body %q; want %v, %q", got.Time, got.Body, want.Time, want.Body)
	}
	got.Time, got.Body, want.Time, want.Body = time.Time{}, nil, time.Time{}, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// largeBatch: one batch that is more than goes out at once, and several callers.
func largeBatch(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	msgs := numbered(at, 100, 5000)
	var callers sync.WaitGroup
	for part := range slices.Chunk(msgs, 2500) {
		callers.Go(func() { publish(t, b, part...) })
	}
	callers.Wait()
	got := newSeen()
	subscribe(t, b, one(at, 8), func(_ context.Context, d *bus.Delivery) error { got.add(d); return nil })
	all := got.awaitIDs(t, len(msgs))
	if len(all) != len(msgs) {
		t.Errorf("%d deliveries of %d messages", len(all), len(msgs))
	}
	for half := range 2 { // callers are in no order among each other
		inOrder(t, slices.DeleteFunc(slices.Clone(all), func(d bus.Delivery) bool {
			return (atoi(d.ID) > 2500) != (half == 1)
		}))
	}
}

func atoi(s string) (n int) { fmt.Sscan(s, &n); return n }

// orderPerKey: keys stay in order while lanes work at once and handlers fail now
// and then.
func orderPerKey(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 10, 300)...)
	got, calls := newSeen(), atomic.Int64{}
	subscribe(t, b, one(at, 4), func(_ context.Context, d *bus.Delivery) error {
		if calls.Add(1)%7 == 0 {
			return errHandler
		}
		got.add(d)
		return nil
	})
	inOrder(t, got.awaitIDs(t, 300))
}

// lanes: as many messages are handled at once as there are lanes, and never two of
// a key.
func lanes(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 40, 80)...)
	var mu sync.Mutex
	busy, most := map[string]int{}, 0
	all, got := make(chan struct{}), newSeen()
	subscribe(t, b, one(at, 4), func(ctx context.Context, d *bus.Delivery) error {
		mu.Lock()
		busy[d.Key]++
		if busy[d.Key] > 1 {
			t.Errorf("two messages of %s at once", d.Key)
		}
		now := 0
		for _, n := range busy {
			now += n
		}
		if now > most {
			if most = now; most == 4 {
				close(all)
			}
		}
		mu.Unlock()
		select {
		case <-all:
		case <-ctx.Done():
		}
		mu.Lock()
		busy[d.Key]--
		mu.Unlock()
		got.add(d)
		return nil
	})
	got.awaitIDs(t, 80)
	mu.Lock()
	defer mu.Unlock()
	if most != 4 {
		t.Errorf("%d messages at once in 4 lanes", most)
	}
}

// partitionsAsLanes: a partition, or a queue, is handled one message after the
// other.
func partitionsAsLanes(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 10, 100)...)
	got, busy := newSeen(), sync.Map{}
	s := one(at, 0)
	s.PerPartition = true
	subscribe(t, b, s, func(_ context.Context, d *bus.Delivery) error {
		place := int32(0)
		if d.Position != nil {
			place = d.Position.Partition
		}
		if _, twice := busy.LoadOrStore(place, true); twice {
			t.Errorf("two messages of partition %d at once", place)
		}
		runtime.Gosched()
		busy.Delete(place)
		got.add(d)
		return nil
	})
	inOrder(t, got.awaitIDs(t, 100))
}

// batches: what waits in a lane is handed over at once, up to the limit; what is not
// done comes again, and only that.
func batches(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 10, 300)...)
	s := one(at, 2)
	s.Batch = 8
	got, most := newSeen(), atomic.Int64{}
	stop := subscribeBatches(t, b, s, func(_ context.Context, ds []*bus.Delivery) (int, error) {
		most.Store(max(most.Load(), int64(len(ds)))) // two lanes may lose a maximum
		if len(ds) > 8 {
			t.Errorf("%d messages at once", len(ds))
		}
		if most.Load() == 1 {
			time.Sleep(100 * time.Millisecond) // so that some wait
		}
		done := min(len(ds), 5)
		for _, d := range ds[:done] {
			got.add(d)
		}
		return done, nil
	})
	inOrder(t, got.awaitIDs(t, 300))
	time.Sleep(500 * time.Millisecond) // for what should not come, and acknowledgements on their way
	stop()
	if all := got.snapshot(); len(all) != 300 || most.Load() < 2 {
		t.Errorf("%d deliveries of 300 messages, up to %d at once", len(all), most.Load())
	}
	publish(t, b, bus.Message{Topic: at, Key: "key-0", ID: "301"})
	rest := newSeen()
	subscribe(t, b, one(at, 1), func(_ context.Context, d *bus.Delivery) error { rest.add(d); return nil })
	if all := rest.awaitIDs(t, 1); all[0].ID != "301" {
		t.Errorf("message %s comes again later", all[0].ID)
	}
}

// batchesFail: of a batch that fails each message comes again alone, and keys stay in
// order.
func batchesFail(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 10, 300)...)
	s := one(at, 2)
	s.Batch = 8
	var mu sync.Mutex
	alone := map[string]bool{} // that have to come alone
	got, calls, failed := newSeen(), atomic.Int64{}, atomic.Int64{}
	subscribeBatches(t, b, s, func(_ context.Context, ds []*bus.Delivery) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, d := range ds {
			if alone[d.ID] && len(ds) > 1 || d.Attempt != 1 {
				t.Errorf("message %s comes with %d others, attempt %d", d.ID, len(ds)-1, d.Attempt)
			}
		}
		if n := calls.Add(1); n == 1 {
			time.Sleep(100 * time.Millisecond) // so that some wait
		} else if len(ds) > 1 && n%3 == 0 {
			failed.Add(1)
			for _, d := range ds {
				alone[d.ID] = true
			}
			return 0, errHandler
		}
		for _, d := range ds {
			got.add(d)
		}
		return len(ds), nil
	})
	all := got.awaitIDs(t, 300)
	inOrder(t, all)
	if len(all) != 300 || failed.Load() == 0 {
		t.Errorf("%d deliveries of 300 messages, %d batches failed", len(all), failed.Load())
	}
}

// retry: a message that fails comes again, those behind it of its key wait, and
// other lanes go on.
func retry(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 20, 100)...)
	got, heal := newSeen(), atomic.Bool{}
	tries := atomic.Int64{}
	subscribe(t, b, one(at, 8), func(_ context.Context, d *bus.Delivery) error {
		if d.ID == "1" {
			if n := tries.Add(1); n != int64(d.Attempt) {
				t.Errorf("attempt %d is called %d", n, d.Attempt)
			}
			if !heal.Load() {
				d.SetHeader("of", []byte("this attempt")) // which is the handler's own
				return errHandler
			}
			if d.Header("of") != nil {
				t.Error("an attempt sees what an earlier one did to the message")
			}
		}
		got.add(d)
		return nil
	})
	// Of 20 keys in 8 lanes some are not behind the one that fails.
	got.await(t, "others", func(all []bus.Delivery) bool { return len(all) >= 20 && tries.Load() >= 3 })
	for _, d := range got.snapshot() {
		if d.Key == "key-0" {
			t.Errorf("message %s of the key came before the one that fails", d.ID)
		}
	}
	heal.Store(true)
	inOrder(t, got.awaitIDs(t, 100))
}

// crash: what was not acknowledged comes again, what was does not.
func crash(t *testing.T, p Peer) {
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 1, 10)...)
	first := newSeen()
	stop := subscribe(t, b, one(at, 1), func(ctx context.Context, d *bus.Delivery) error {
		first.add(d)
		if d.ID == "6" {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	first.awaitIDs(t, 6)
	stop()
	second := newSeen()
	subscribe(t, b, one(at, 1), func(_ context.Context, d *bus.Delivery) error { second.add(d); return nil })
	all := second.awaitIDs(t, 5)
	inOrder(t, all)
	if len(all) != 5 || all[0].ID != "6" {
		t.Errorf("%d messages came again, from %s on; want 5 from 6 on", len(all), all[0].ID)
	}
	if !p.Log && !all[0].Redelivered {
		t.Error("a queue's message that comes again does not say so")
	}
}

// takeover: two members of a group share the work or stand by; when one goes, and
// when one comes, nothing is lost and keys stay in order.
func takeover(t *testing.T, p Peer) {
	at := topic(t)
	publisher, first, second := p.open(t), p.open(t), p.open(t)
	publish(t, publisher, numbered(at, 10, 200)...)
	got := newSeen()
	slowly := func(_ context.Context, d *bus.Delivery) error {
		time.Sleep(2 * time.Millisecond)
		got.add(d)
		return nil
	}
	s := one(at, 4)
	s.Batch = 4
	stop := subscribe(t, first, s, slowly)
	got.awaitIDs(t, 20)
	subscribe(t, second, s, slowly)
	got.awaitIDs(t, 80)
	msgs := numbered(at, 10, 400)
	publish(t, publisher, msgs[200:]...)
	stop()
	inOrder(t, got.awaitIDs(t, 400))
}

// refused: a message that is refused fails, and with it those behind it of its key;
// the others of the batch are durable.
func refused(t *testing.T, p Peer) {
	at := topic(t)
	b, bad := p.Refusing(t, at)
	defer b.Close()
	good := func(key, id string) bus.Message { return bus.Message{Topic: at, Key: key, ID: id} }
	bad.Key, bad.ID = "b", "2"
	behind := bad
	behind.ID, behind.Body = "4", nil
	msgs := []bus.Message{good("a", "1"), bad, good("a", "3"), behind, good("c", "5"), good("", "6")}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := b.Publish(ctx, msgs)
	for i := range msgs {
		fails := i == 1 || i == 3
		if got := bus.Failed(err, i); (got != nil) != fails {
			t.Errorf("message %d: %v", i, got)
		}
	}
	if t.Failed() {
		return
	}
	got := newSeen()
	subscribe(t, p.open(t), one(at, 1), func(_ context.Context, d *bus.Delivery) error { got.add(d); return nil })
	for _, d := range got.awaitIDs(t, 4) {
		if d.ID == "2" || d.ID == "4" {
			t.Errorf("message %s was refused and came", d.ID)
		}
	}
	publish(t, b, good("b", "7")) // the bus goes on
	got.awaitIDs(t, 5)
}

// end: a subscription ends soon after its context, also while a handler waits and
// another fails, and leaves nothing running.
func end(t *testing.T, p Peer) {
	before := runtime.NumGoroutine()
	b, at := p.New(t), topic(t)
	publish(t, b, numbered(at, 10, 20)...)
	ctx, cancel := context.WithCancel(context.Background())
	got, ended, running := newSeen(), make(chan error, 1), atomic.Int64{}
	go func() {
		ended <- b.Subscribe(ctx, one(at, 4), bus.Each(func(ctx context.Context, d *bus.Delivery) error {
			running.Add(1)
			defer running.Add(-1)
			got.add(d)
			if d.ID == "1" {
				return errHandler
			}
			<-ctx.Done()
			return ctx.Err()
		}))
	}()
	got.awaitIDs(t, 2)
	start := time.Now()
	cancel()
	if err := <-ended; err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("ended after %v with %v", time.Since(start), err)
	}
	if n := running.Load(); n != 0 {
		t.Errorf("%d handlers run", n)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Publish(context.Background(), numbered(at, 1, 1)); err == nil {
		t.Error("a bus that is closed publishes")
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// restart: the broker goes and comes while messages are published and handled.
// What was durable comes, in order.
func restart(t *testing.T, p Peer) {
	if p.Restart == nil {
		t.Log("this peer cannot be restarted")
		return
	}
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 5, 50)...)
	got := newSeen()
	subscribe(t, b, one(at, 4), func(_ context.Context, d *bus.Delivery) error {
		time.Sleep(time.Millisecond)
		got.add(d)
		return nil
	})
	got.awaitIDs(t, 20)
	published := make(chan struct{})
	go func() {
		defer close(published)
		for from := 50; from < 500; from += 10 {
			untilDurable(t, b, numbered(at, 5, from+10)[from:])
		}
	}()
	start := time.Now()
	p.Restart(t)
	t.Logf("the broker was back after %v", time.Since(start))
	<-published
	inOrder(t, got.awaitIDs(t, 500))
	t.Logf("all came after %v", time.Since(start))
}

// untilDurable publishes what is not yet durable until all is.
func untilDurable(t *testing.T, b bus.Bus, msgs []bus.Message) {
	for deadline := time.Now().Add(2 * patience); len(msgs) > 0 && !t.Failed(); {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := b.Publish(ctx, msgs)
		cancel()
		var left []bus.Message
		for i := range msgs {
			if bus.Failed(err, i) != nil {
				left = append(left, msgs[i])
			}
		}
		msgs = left
		if err != nil && time.Now().After(deadline) {
			t.Errorf("still not published: %v", err)
		}
	}
}
