package broker_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// onMem opens a broker on a disk in memory, stepped by the test.
func onMem(t *testing.T, d *mem.Disk) *fixture { return onMemShards(t, d, 1) }

func onMemShards(t *testing.T, d *mem.Disk, shards int) *fixture {
	t.Helper()
	f := &fixture{t: t, shards: shards, clock: &clock{now: time.UnixMilli(1_700_000_000_000)}, inline: true}
	var err error
	if f.eng, err = d.Engine(); err != nil {
		t.Fatal(err)
	}
	f.Broker, err = broker.Open(context.Background(), broker.Config{Engine: f.eng, Shards: shards, Now: f.clock.Now, Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestBatchThatNoFileTakes is refused; the log goes on.
func TestBatchThatNoFileTakes(t *testing.T) {
	f := newFixture(t, 1)
	p := f.create("t", 1, nil).Partitions[0]
	limit := int(f.eng.Traits().SlotBytesMax)
	for _, size := range []int{limit, limit * 2} {
		b := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: 1, Value: make([]byte, size)}}})
		if it := f.append(p, b); kindOf(it.Err) != broker.RecordTooLarge {
			t.Fatalf("%d bytes: %v", size, it.Err)
		}
	}
	// Two that fit one by one and not together go to two slots.
	half := make([]byte, limit*2/3)
	var items []broker.AppendItem
	for range 3 {
		items = append(items, broker.AppendItem{Partition: p,
			Batch: record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: 1, Value: half}}})})
	}
	for _, it := range f.appendAll(items...) {
		if it.Err != nil {
			t.Fatal(it.Err)
		}
	}
	f.restart()
	if n := f.partition("t", 0).Bounds().HighWatermark; n != 3 {
		t.Fatalf("%d records after a restart", n)
	}
}

// TestOneRequestLargerThanTheRoom fills a disk with a single request: part of
// it is refused, and the log has not failed.
func TestOneRequestLargerThanTheRoom(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 32 << 20})
	f := onMem(t, d)
	t.Cleanup(f.close)
	tp := f.create("t", 100, nil)
	d.SetFree(1 << 20)
	value := string(make([]byte, 1_000_000))
	var items []broker.AppendItem
	for i := range 100 {
		items = append(items, broker.AppendItem{Partition: tp.Partitions[i], Batch: f.batch(-1, -1, -1, value)})
	}
	stored, refused := 0, 0
	for _, it := range f.appendAll(items...) {
		switch {
		case it.Err == nil:
			stored++
		case kindOf(it.Err) == broker.StorageFull:
			refused++
		default:
			t.Fatal(it.Err)
		}
	}
	if stored == 0 || refused == 0 || f.Err() != nil {
		t.Fatalf("%d stored, %d refused, %v", stored, refused, f.Err())
	}
}

// TestDamageDoesNotStopMaintenance damages records in a file that is worth
// rewriting: checkpoints and trimming go on.
func TestDamageDoesNotStopMaintenance(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	f := onMem(t, d)
	f.create("live", 1, nil)
	f.create("dead", 1, nil)
	big := string(bytes.Repeat([]byte("x"), 20_000))
	for range 100 {
		f.append(f.partition("dead", 0), f.batch(-1, -1, -1, big))
		f.append(f.partition("live", 0), f.batch(-1, -1, -1, "MARKED"))
	}
	f.close()
	flipped := 0
	for _, name := range d.Names() {
		content, err := d.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(content, []byte("MARKED")); i >= 0 && flipped == 0 {
			flipped++
			if err := d.FlipBit(name, int64(i)*8); err != nil {
				t.Fatal(err)
			}
		}
	}
	if flipped == 0 {
		t.Fatal("nothing to damage was found")
	}
	f = onMem(t, d)
	t.Cleanup(f.close)
	ctx := context.Background()
	before := len(f.JournalFiles(0))
	newest := ""
	for i := range 4 {
		if _, err := f.DeleteRecords(ctx, f.partition("dead", 0), -1); err != nil {
			t.Fatal(err)
		}
		f.append(f.partition("dead", 0), f.batch(-1, -1, -1, big))
		if err := f.Maintain(ctx, true); err != nil {
			t.Fatal(err)
		}
		names, err := f.eng.Blobs().List("0000/checkpoint/")
		if err != nil || len(names) == 0 || names[len(names)-1] <= newest {
			t.Fatalf("round %d: checkpoints %v, %v", i, names, err)
		}
		newest = names[len(names)-1]
	}
	if after := len(f.JournalFiles(0)); after > before {
		t.Fatalf("%d journal files, %d before", after, before)
	}
}

// TestClockSetBack: sessions still expire in due time when the wall clock was
// set back, across a restart too.
func TestClockSetBack(t *testing.T) {
	f := newFixture(t, 1)
	f.create("t", 1, nil)
	f.clock.add(-time.Hour)
	f.restart()
	join := func(suffix string) time.Duration {
		t.Helper()
		answered, waited := false, time.Duration(0)
		f.Group("g", group.Join{
			Group: "g", ClientID: "c", MemberIDSuffix: suffix,
			SessionTimeout: 10 * time.Second, RebalanceTimeout: 10 * time.Second, ProtocolType: "consumer",
			Protocols: []group.Protocol{{Name: "range"}},
		}, func(group.Body, error) { answered = true })
		for ; !answered; waited += time.Second {
			if waited > 5*time.Minute {
				t.Fatalf("the join of %s was not answered in %v", suffix, waited)
			}
			f.Decide()
			if err := f.Flush(); err != nil {
				t.Fatal(err)
			}
			f.clock.add(time.Second)
		}
		return waited
	}
	join("first") // and is never heard of again
	if waited := join("second"); waited > 15*time.Second {
		t.Fatalf("the second member waited %v for the first to expire", waited)
	}
}

// TestRecordsWithoutTimestamp are kept as long as others, counted from when
// they came, and are not found by time.
func TestRecordsWithoutTimestamp(t *testing.T) {
	f := newFixture(t, 1)
	p := f.create("t", 1, map[string]string{"retention.ms": "60000"}).Partitions[0]
	now := f.clock.Now().UnixMilli()
	for _, ts := range []int64{now - 5000, -1} {
		b := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: ts, Value: []byte("v")}}})
		if it := f.append(p, b); it.Err != nil {
			t.Fatal(it.Err)
		}
	}
	f.maintain()
	if got := p.Bounds(); got.Start != 0 {
		t.Fatalf("retention deleted what has just come: %+v", got)
	}
	if got, err := f.FindMaxTime(context.Background(), p); err != nil || got.Offset != 0 || got.Timestamp != now-5000 {
		t.Fatalf("largest timestamp: %+v, %v", got, err)
	}
	if got, err := f.FindTime(context.Background(), p, now-4000); err != nil || got.Offset != -1 {
		t.Fatalf("found by time: %+v, %v", got, err)
	}
	f.clock.add(2 * time.Minute)
	f.maintain()
	if got := p.Bounds(); got.Start != 2 {
		t.Fatalf("retention keeps what is old: %+v", got)
	}
}

// TestProducersAreBounded: of many producers the oldest are forgotten; those
// that go on are not, and a restart replays the same.
func TestProducersAreBounded(t *testing.T) {
	f := newFixture(t, 1)
	f.create("t", 3, nil)
	f.SetProducersMax(50)
	for i := range 400 {
		p := f.partition("t", i%3)
		if it := f.append(p, f.batch(int64(1000+i), 0, 0, "x")); it.Err != nil {
			t.Fatal(it.Err)
		}
		// One that goes on keeps its place, and its repeats are known.
		steady := f.partition("t", 0)
		first := f.append(steady, f.batch(7, 0, int32(i), "x"))
		again := f.append(steady, f.batch(7, 0, int32(i), "x"))
		if first.Err != nil || again.Err != nil || again.Base != first.Base {
			t.Fatalf("batch %d: at %d (%v), and again at %d (%v)", i, first.Base, first.Err, again.Base, again.Err)
		}
		if n := f.ProducersKnown(); n > 50 {
			t.Fatalf("%d producers are remembered", n)
		}
	}
	slot, live := f.State(0)
	f.Abandon()
	if err := f.eng.Close(); err != nil {
		t.Fatal(err)
	}
	f.open()
	if at, got := f.Recovered(0); at != slot || !bytes.Equal(got, live) {
		t.Fatalf("replay up to slot %d differs from what was live at slot %d", at, slot)
	}
	f.maintain()
	f.restart() // through a checkpoint
	if n := f.ProducersKnown(); n != 50 {
		t.Fatalf("%d producers after a restart", n)
	}
}
