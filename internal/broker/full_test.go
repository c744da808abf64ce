package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// TestFullDisk fills the disk: producers are refused, commits and deletions go
// on, a deletion makes room, and nothing that was acknowledged is lost.
func TestFullDisk(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	f := &fixture{t: t, shards: 1, clock: &clock{now: time.UnixMilli(1_700_000_000_000)}, inline: true}
	open := func() {
		t.Helper()
		eng, err := d.Engine()
		if err != nil {
			t.Fatal(err)
		}
		b, err := broker.Open(context.Background(), broker.Config{Engine: eng, Now: f.clock.Now, Inline: true})
		if err != nil {
			t.Fatal(err)
		}
		f.eng, f.Broker = eng, b
	}
	open()
	f.create("kept", 1, nil)
	f.create("big", 1, nil)
	value := string(bytes.Repeat([]byte("x"), 20_000))
	f.append(f.partition("kept", 0), f.batch(-1, -1, -1, "first"))
	d.SetFree(6 << 20)
	stored := 0
	for ; ; stored++ {
		if stored > 2000 {
			t.Fatal("the disk does not fill up")
		}
		it := f.append(f.partition("big", 0), f.batch(-1, -1, -1, value))
		if it.Err != nil {
			if kindOf(it.Err) != broker.StorageFull {
				t.Fatal(it.Err)
			}
			break
		}
	}
	if stored < 100 {
		t.Fatalf("full after %d batches", stored)
	}
	if !f.Stats().Full {
		t.Error("the statistics do not say that the disk is full")
	}
	for i := range 5 {
		commit(t, f, fmt.Sprint("g", i), "kept", int64(i+1))
	}
	big, _ := f.Topic("big")
	if got := f.read(big.Partitions[0], 0); len(got) != stored {
		t.Fatalf("%d of %d records can be read", len(got), stored)
	}
	if err := f.DeleteTopic(context.Background(), big.ID); err != nil {
		t.Fatal("a deletion is refused on a full disk: ", err)
	}
	for range 6 { // nobody else writes
		if err := f.Maintain(context.Background(), false); err != nil {
			t.Fatal(err)
		}
	}
	it := f.append(f.partition("kept", 0), f.batch(-1, -1, -1, "second"))
	if it.Err != nil || it.Base != 1 {
		t.Fatalf("after the deletion: base %d, %v", it.Base, it.Err)
	}
	f.close()
	open()
	if got := f.read(f.partition("kept", 0), 0); len(got) != 2 || got[0] != "first" || got[1] != "second" {
		t.Fatal(got)
	}
	if got := committed(t, f, "g4", "kept"); got != 5 {
		t.Fatalf("committed offset %d", got)
	}
	f.close()
}

// TestReserveLasts keeps committing on a full disk until that is refused too:
// deletions still go on, and the log has not failed.
func TestReserveLasts(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	eng, err := d.Engine()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, shards: 1, clock: &clock{now: time.UnixMilli(1_700_000_000_000)}, inline: true, eng: eng}
	if f.Broker, err = broker.Open(context.Background(), broker.Config{Engine: eng, Now: f.clock.Now, Inline: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	big := f.create("big", 1, nil)
	d.SetFree(2 << 20)
	for i := 0; ; i++ {
		_, err := f.NewProducerID(context.Background())
		if kindOf(err) == broker.StorageFull {
			break
		}
		if err != nil || i > 10_000 {
			t.Fatal(i, err)
		}
	}
	if it := f.append(big.Partitions[0], f.batch(-1, -1, -1, "x")); kindOf(it.Err) != broker.StorageFull {
		t.Fatalf("an append takes of the reserve: %v", it.Err)
	}
	if err := f.DeleteTopic(context.Background(), big.ID); err != nil {
		t.Fatal(err)
	}
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestBurstOnAFullDisk: what is decided while nobody knows yet that there is no
// space for the next file must fit into what there is. Otherwise the log fails.
func TestBurstOnAFullDisk(t *testing.T) {
	for round := range 12 {
		d := mem.New(mem.Options{Seed: uint64(round + 1), FileBytes: 1 << 20})
		eng, err := d.Engine()
		if err != nil {
			t.Fatal(err)
		}
		b, err := broker.Open(t.Context(), broker.Config{Engine: eng})
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{t: t, clock: &clock{now: time.Now()}, eng: eng, Broker: b}
		p := f.create("t", 1, nil).Partitions[0]
		d.SetFree(int64(round) << 20)
		value := string(bytes.Repeat([]byte("x"), 100_000))
		done := make(chan error, 200)
		for range cap(done) {
			batch := f.batch(-1, -1, -1, value)
			info, err := record.Validate(batch, record.ValidateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b.Append(t.Context(), &broker.AppendRequest{
				Items: []broker.AppendItem{{Partition: p, Batch: batch, Header: info.Header}},
				Done:  func(r *broker.AppendRequest) { done <- r.Items[0].Err },
			})
		}
		stored := 0
		for range cap(done) {
			if err := <-done; err == nil {
				stored++
			} else if kindOf(err) != broker.StorageFull {
				t.Fatalf("with %d MB free: %v", round, err)
			}
		}
		if stored == 0 || stored == cap(done) {
			t.Fatalf("with %d MB free: %d batches stored", round, stored)
		}
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		f.close()
	}
}
