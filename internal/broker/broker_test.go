package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// fixture is a folder and a broker on it that can be restarted.
type fixture struct {
	t         testing.TB
	dir       string
	fileBytes int64
	shards    int
	clock     *clock
	inline    bool
	hasty     bool // background work is due all the time
	rewriting bool // see Config.DueInRewrite

	eng *disk.Engine
	*broker.Broker
}

// newFixture opens a broker on the disk engine, without goroutines of its own
// so that tests decide when background work runs.
func newFixture(t *testing.T, shards int) *fixture {
	f := &fixture{
		t: t, dir: t.TempDir(), fileBytes: 1 << 20, shards: shards, inline: true,
		clock: &clock{now: time.UnixMilli(1_700_000_000_000)},
	}
	f.open()
	t.Cleanup(f.close)
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	eng, err := disk.Open(disk.Options{Dir: f.dir, FileBytes: f.fileBytes, Synchronous: f.inline})
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := broker.Config{Engine: eng, Shards: f.shards, Now: f.clock.Now, Inline: f.inline}
	if f.hasty {
		cfg.Now = time.Now
		cfg.Settings = map[string]string{"log.retention.check.interval.ms": "20"}
		cfg.Hurry(20 * time.Millisecond)
	}
	if f.rewriting {
		cfg.DueInRewrite()
	}
	b, err := broker.Open(context.Background(), cfg)
	if err != nil {
		eng.Close()
		f.t.Fatal(err)
	}
	f.eng, f.Broker = eng, b
}

func (f *fixture) close() {
	if f.Broker == nil {
		return
	}
	if err := f.Broker.Close(); err != nil {
		f.t.Error(err)
	}
	if err := f.eng.Close(); err != nil {
		f.t.Error(err)
	}
	f.Broker = nil
}

func (f *fixture) restart() {
	f.t.Helper()
	f.close()
	f.open()
}

// maintain does all background work.
func (f *fixture) maintain() {
	f.t.Helper()
	if err := f.Maintain(context.Background(), true); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) create(name string, partitions int, settings map[string]string) *broker.Topic {
	f.t.Helper()
	t, err := f.CreateTopic(context.Background(), broker.TopicSpec{Name: name, Partitions: partitions, Settings: settings})
	if err != nil {
		f.t.Fatal(err)
	}
	return t
}

func (f *fixture) partition(name string, i int) *broker.Partition {
	f.t.Helper()
	t, ok := f.Topic(name)
	if !ok {
		f.t.Fatalf("no topic %q", name)
	}
	return t.Partitions[i]
}

// batch builds a batch of values; pid -1 is no producer.
func (f *fixture) batch(pid int64, epoch int16, seq int32, values ...string) []byte {
	now := f.clock.Now().UnixMilli()
	var spec record.BatchSpec
	if pid >= 0 {
		spec.Producer = &record.Producer{ID: pid, Epoch: epoch, Sequence: seq}
	}
	for i, v := range values {
		spec.Records = append(spec.Records, record.Record{Timestamp: now + int64(i), Value: []byte(v)})
	}
	return record.Append(nil, spec)
}

// append appends one batch and waits for it.
func (f *fixture) append(p *broker.Partition, b []byte) broker.AppendItem {
	f.t.Helper()
	items := f.appendAll(broker.AppendItem{Partition: p, Batch: b})
	return items[0]
}

func (f *fixture) appendAll(items ...broker.AppendItem) []broker.AppendItem {
	f.t.Helper()
	for i := range items {
		info, err := record.Validate(items[i].Batch, record.ValidateOptions{})
		if err != nil {
			f.t.Fatal(err)
		}
		items[i].Header = info.Header
	}
	done := make(chan struct{})
	req := &broker.AppendRequest{Items: items, Done: func(*broker.AppendRequest) { close(done) }}
	f.Append(context.Background(), req)
	if f.inline {
		f.Decide()
		if err := f.Flush(); err != nil {
			f.t.Fatal(err)
		}
	}
	<-done
	return req.Items
}

// read returns the values of p from offset on, with their offsets.
func (f *fixture) read(p *broker.Partition, offset int64) map[int64]string {
	f.t.Helper()
	out := map[int64]string{}
	high := p.Bounds().HighWatermark
	for offset < high {
		plan, err := f.Plan(context.Background(), p, offset, high, 4096, true)
		if err != nil {
			f.t.Fatal(err)
		}
		var buf bytes.Buffer
		n, err := plan.WriteTo(&buf)
		plan.Close()
		if err != nil || n != plan.Bytes() || n == 0 {
			f.t.Fatalf("plan of %d bytes from offset %d wrote %d: %v", plan.Bytes(), offset, n, err)
		}
		for b := range record.Batches(buf.Bytes()) {
			if !record.VerifyCRC(b) {
				f.t.Fatal("a stored batch is damaged")
			}
			err := record.Iterate(b, func(r record.Record) bool {
				if r.Offset >= offset {
					out[r.Offset] = string(r.Value)
					offset = r.Offset + 1
				}
				return true
			})
			if err != nil {
				f.t.Fatal(err)
			}
		}
	}
	return out
}

func kindOf(err error) broker.Kind {
	var e *broker.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return broker.Internal
}

func eachShards(t *testing.T, test func(t *testing.T, shards int)) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("shards=%d", n), func(t *testing.T) { test(t, n) })
	}
}

func TestAppendAndRead(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		f.create("orders", 4, nil)
		for part := range 4 {
			p := f.partition("orders", part)
			for i := range 10 {
				it := f.append(p, f.batch(-1, -1, -1, fmt.Sprint(part, "-", i, "a"), fmt.Sprint(part, "-", i, "b")))
				if it.Err != nil || it.Base != int64(2*i) {
					t.Fatalf("batch %d: base %d, %v", i, it.Base, it.Err)
				}
			}
		}
		for round := range 2 {
			for part := range 4 {
				p := f.partition("orders", part)
				got := f.read(p, 3)
				if len(got) != 17 || got[3] != fmt.Sprint(part, "-1b") || got[19] != fmt.Sprint(part, "-9b") {
					t.Fatalf("round %d, partition %d: %v", round, part, got)
				}
			}
			f.restart()
		}
	})
}

func TestOneRequestSpansShards(t *testing.T) {
	f := newFixture(t, 3)
	f.create("t", 6, nil)
	var items []broker.AppendItem
	for i := range 6 {
		items = append(items, broker.AppendItem{Partition: f.partition("t", i), Batch: f.batch(-1, -1, -1, fmt.Sprint(i))})
	}
	for _, it := range f.appendAll(items...) {
		if it.Err != nil || it.Base != 0 {
			t.Fatal(it.Base, it.Err)
		}
	}
	for i := range 6 {
		if got := f.read(f.partition("t", i), 0); got[0] != fmt.Sprint(i) {
			t.Fatal(got)
		}
	}
}

func TestIdempotentProducerAcrossRestart(t *testing.T) {
	f := newFixture(t, 1)
	f.create("t", 1, nil)
	pid, err := f.NewProducerID(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if it := f.append(f.partition("t", 0), f.batch(pid, 0, int32(i), fmt.Sprint(i))); it.Err != nil || it.Base != int64(i) {
			t.Fatal(it.Base, it.Err)
		}
	}
	f.restart()
	p := f.partition("t", 0)
	if it := f.append(p, f.batch(pid, 0, 3, "3")); it.Err != nil || it.Base != 3 {
		t.Fatalf("repeat after restart: base %d, %v", it.Base, it.Err)
	}
	if it := f.append(p, f.batch(pid, 0, 0, "0")); kindOf(it.Err) != broker.OutOfOrderSequence {
		t.Fatalf("sixth-old batch: %v", it.Err)
	}
	if it := f.append(p, f.batch(pid, 0, 7, "7")); kindOf(it.Err) != broker.OutOfOrderSequence {
		t.Fatalf("gap: %v", it.Err)
	}
	if len(f.read(p, 0)) != 6 {
		t.Fatal("a repeat was stored")
	}
	again, err := f.NewProducerID(context.Background())
	if err != nil || again == pid {
		t.Fatalf("producer id %d was given twice (%v)", again, err)
	}
	if got, err := f.Producers(context.Background(), p); err != nil || len(got) != 1 || got[0].ID != pid || got[0].LastSequence != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestProducersExpire(t *testing.T) {
	f := newFixture(t, 1)
	f.create("t", 1, nil)
	p := f.partition("t", 0)
	f.append(p, f.batch(1, 0, 0, "a"))
	f.clock.add(25 * time.Hour)
	f.maintain()
	if got, err := f.Producers(context.Background(), p); err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestTopicErrors(t *testing.T) {
	f := newFixture(t, 1)
	f.create("a.b", 1, nil)
	for name, c := range map[string]struct {
		spec broker.TopicSpec
		want broker.Kind
	}{
		"taken":      {broker.TopicSpec{Name: "a.b", Partitions: 1}, broker.TopicExists},
		"collision":  {broker.TopicSpec{Name: "a_b", Partitions: 1}, broker.InvalidTopic},
		"bad letter": {broker.TopicSpec{Name: "ü", Partitions: 1}, broker.InvalidTopic},
		"empty":      {broker.TopicSpec{Name: "", Partitions: 1}, broker.InvalidTopic},
		"dots":       {broker.TopicSpec{Name: "..", Partitions: 1}, broker.InvalidTopic},
		"too long":   {broker.TopicSpec{Name: string(bytes.Repeat([]byte("x"), 250)), Partitions: 1}, broker.InvalidTopic},
		"none":       {broker.TopicSpec{Name: "x", Partitions: 0}, broker.InvalidPartitions},
		"too many":   {broker.TopicSpec{Name: "x", Partitions: 1 << 20}, broker.InvalidPartitions},
		"setting":    {broker.TopicSpec{Name: "x", Partitions: 1, Settings: map[string]string{"no.such": "1"}}, broker.InvalidConfig},
		"compaction": {broker.TopicSpec{Name: "x", Partitions: 1, Settings: map[string]string{"cleanup.policy": "compact"}}, broker.InvalidConfig},
	} {
		if _, err := f.CreateTopic(context.Background(), c.spec); kindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.DeleteTopic(context.Background(), broker.TopicID{1}); kindOf(err) != broker.UnknownTopic {
		t.Error(err)
	}
	if err := f.AddPartitions(context.Background(), f.partition("a.b", 0).Topic(), 1); kindOf(err) != broker.InvalidPartitions {
		t.Error(err)
	}
}

func TestTopicLifeAcrossRestart(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		ctx := context.Background()
		first := f.create("t", 2, map[string]string{"retention.ms": "1000"})
		old := f.partition("t", 0)
		f.append(old, f.batch(-1, -1, -1, "old"))
		if err := f.AddPartitions(ctx, first.ID, 5); err != nil {
			t.Fatal(err)
		}
		if err := f.ConfigureTopic(ctx, first.ID, map[string]string{"retention.ms": "2000"}); err != nil {
			t.Fatal(err)
		}
		f.restart()
		got, _ := f.Topic("t")
		if got == nil || got.ID != first.ID || len(got.Partitions) != 5 || got.Settings.RetentionTime != 2*time.Second {
			t.Fatalf("%+v", got)
		}
		if err := f.DeleteTopic(ctx, first.ID); err != nil {
			t.Fatal(err)
		}
		if it := f.append(got.Partitions[0], f.batch(-1, -1, -1, "late")); kindOf(it.Err) != broker.UnknownTopic {
			t.Fatalf("append to a deleted topic: %v", it.Err)
		}
		second := f.create("t", 1, nil)
		if second.ID == first.ID {
			t.Fatal("a topic that was created again has its old id")
		}
		f.restart()
		if p := f.partition("t", 0); p.Bounds().HighWatermark != 0 || p.Topic() != second.ID {
			t.Fatal("a topic that was created again has old records")
		}
		if len(f.Topics()) != 1 {
			t.Fatal(f.Topics())
		}
	})
}

func TestDeleteRecords(t *testing.T) {
	f := newFixture(t, 1)
	f.create("t", 1, nil)
	p := f.partition("t", 0)
	for i := range 10 {
		f.append(p, f.batch(-1, -1, -1, fmt.Sprint(i)))
	}
	ctx := context.Background()
	if _, err := f.DeleteRecords(ctx, p, 11); kindOf(err) != broker.OffsetOutOfRange {
		t.Fatal(err)
	}
	if start, err := f.DeleteRecords(ctx, p, 4); err != nil || start != 4 {
		t.Fatal(start, err)
	}
	if start, err := f.DeleteRecords(ctx, p, 2); err != nil || start != 4 {
		t.Fatal("the log start moved back: ", start, err)
	}
	f.restart()
	p = f.partition("t", 0)
	if b := p.Bounds(); b.Start != 4 || b.HighWatermark != 10 {
		t.Fatalf("%+v", b)
	}
	if got := f.read(p, 4); len(got) != 6 || got[4] != "4" {
		t.Fatal(got)
	}
	if start, err := f.DeleteRecords(ctx, p, -1); err != nil || start != 10 {
		t.Fatal(start, err)
	}
	if it := f.append(p, f.batch(-1, -1, -1, "x")); it.Base != 10 || it.Start != 10 {
		t.Fatalf("%+v", it)
	}
}

func TestRetention(t *testing.T) {
	f := newFixture(t, 1)
	f.create("old", 1, map[string]string{"retention.ms": "60000"})
	f.create("big", 1, map[string]string{"retention.bytes": "20000", "retention.ms": "-1"})
	value := string(bytes.Repeat([]byte("x"), 8000))
	for i := range 6 {
		f.append(f.partition("old", 0), f.batch(-1, -1, -1, fmt.Sprint(i)))
		f.append(f.partition("big", 0), f.batch(-1, -1, -1, value))
		f.clock.add(20 * time.Second)
	}
	// Extents that lie together in one file count as one while they are
	// small; a restart does not change what is kept.
	f.maintain()
	if b := f.partition("old", 0).Bounds(); b.Start != 3 || b.HighWatermark != 6 {
		t.Errorf("by time: %+v", b)
	}
	if b := f.partition("big", 0).Bounds(); b.Start != 3 || b.HighWatermark != 6 {
		t.Errorf("by size: %+v", b)
	}
	if n := f.PartitionBytes(f.partition("big", 0)); n < 20000 || n > 30000 {
		t.Errorf("size of what is kept: %d", n)
	}
}

// diskUse sums up the sizes of the journal files.
func (f *fixture) files() (n int, bytes int64) {
	for i := range f.shards {
		files := f.JournalFiles(i)
		n += len(files)
		for _, x := range files {
			bytes += x.Bytes
		}
	}
	return n, bytes
}

func TestDeletedTopicGivesDiskBack(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		gone := f.create("gone", 3, nil)
		value := string(bytes.Repeat([]byte("x"), 100_000))
		for i := range 120 {
			f.append(gone.Partitions[i%3], f.batch(-1, -1, -1, value))
		}
		if n, _ := f.files(); n < 10 {
			t.Fatalf("only %d files", n)
		}
		if err := f.DeleteTopic(context.Background(), gone.ID); err != nil {
			t.Fatal(err)
		}
		// Entries are kept since the older of two checkpoints.
		for range 3 {
			f.create(fmt.Sprint("x", rand.Uint64()), shards, nil)
			f.maintain()
		}
		if n, bytes := f.files(); n > 2*shards {
			t.Fatalf("%d files with %d bytes are left", n, bytes)
		}
		f.restart()
	})
}

func TestRewriteKeepsWhatIsLive(t *testing.T) {
	f := newFixture(t, 1)
	gone, kept := f.create("gone", 1, nil), f.create("kept", 2, nil)
	big := string(bytes.Repeat([]byte("x"), 90_000))
	for i := range 100 {
		f.append(gone.Partitions[0], f.batch(-1, -1, -1, big))
		f.append(kept.Partitions[i%2], f.batch(-1, -1, -1, fmt.Sprint(i)))
	}
	before := []map[int64]string{f.read(kept.Partitions[0], 0), f.read(kept.Partitions[1], 0)}
	if err := f.DeleteTopic(context.Background(), gone.ID); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		f.append(kept.Partitions[0], f.batch(-1, -1, -1, "more"))
		f.maintain()
	}
	if n, _ := f.files(); n > 3 {
		t.Fatalf("%d journal files are left", n)
	}
	if n := f.Replaced(); n > 3 {
		t.Fatalf("the state remembers %d files, most of which are gone", n)
	}
	for round := range 2 {
		for i := range 2 {
			got := f.read(f.partition("kept", i), 0)
			for off, v := range before[i] {
				if got[off] != v {
					t.Fatalf("round %d: partition %d, offset %d: %.20q, want %q", round, i, off, got[off], v)
				}
			}
		}
		f.restart()
	}
}

func TestFindByTime(t *testing.T) {
	f := newFixture(t, 1)
	f.create("t", 1, nil)
	p := f.partition("t", 0)
	ctx := context.Background()
	base := f.clock.Now().UnixMilli()
	if got, err := f.FindTime(ctx, p, 0); err != nil || got.Offset != -1 {
		t.Fatal(got, err)
	}
	if got, err := f.FindMaxTime(ctx, p); err != nil || got.Offset != -1 {
		t.Fatal(got, err)
	}
	for range 5 { // offsets 0,1 at base, 2,3 at base+1000, …
		f.append(p, f.batch(-1, -1, -1, "a", "b"))
		f.clock.add(time.Second)
	}
	f.clock.add(-10 * time.Second)
	f.append(p, f.batch(-1, -1, -1, "early")) // offset 10, before all others
	for _, c := range []struct{ at, want int64 }{
		{base - 100_000, 0}, {base, 0}, {base + 1, 1}, {base + 2, 2}, {base + 1000, 2}, {base + 4001, 9}, {base + 4002, -1},
	} {
		if got, err := f.FindTime(ctx, p, c.at); err != nil || got.Offset != c.want {
			t.Errorf("first at or after base%+d: %+v, %v; want %d", c.at-base, got, err, c.want)
		}
	}
	if got, err := f.FindMaxTime(ctx, p); err != nil || got.Offset != 9 || got.Timestamp != base+4001 {
		t.Errorf("largest: %+v, %v", got, err)
	}
}

func TestEpochEnds(t *testing.T) {
	f := newFixture(t, 1)
	f.create("t", 1, nil)
	ends := map[int32]int64{}
	for i := range 3 {
		p := f.partition("t", 0)
		for range i + 1 {
			f.append(p, f.batch(-1, -1, -1, "x"))
		}
		b := p.Bounds()
		ends[b.Epoch] = b.HighWatermark
		f.restart()
	}
	p := f.partition("t", 0)
	for epoch, end := range ends {
		if got := f.EpochEnd(p, epoch); got.Epoch != epoch || got.End != end {
			t.Errorf("epoch %d: %+v, want end %d", epoch, got, end)
		}
	}
	now := p.Bounds().Epoch
	if got := f.EpochEnd(p, now); got.Epoch != now || got.End != 6 {
		t.Errorf("current epoch: %+v", got)
	}
	if got := f.EpochEnd(p, now+1); got.Epoch != -1 || got.End != -1 {
		t.Errorf("epoch of the future: %+v", got)
	}
}

func TestWatcherWakes(t *testing.T) {
	f := newFixture(t, 1)
	topic := f.create("t", 2, nil)
	w := broker.NewWatcher()
	defer w.Stop()
	w.Watch(topic.Partitions[0])
	woken := func() bool {
		select {
		case <-w.C():
			return true
		default:
			return false
		}
	}
	f.append(topic.Partitions[1], f.batch(-1, -1, -1, "other"))
	if woken() {
		t.Fatal("woken by another partition")
	}
	f.append(topic.Partitions[0], f.batch(-1, -1, -1, "x"))
	if !woken() {
		t.Fatal("not woken by an append")
	}
	if _, err := f.DeleteRecords(context.Background(), topic.Partitions[0], 1); err != nil || !woken() {
		t.Fatal("not woken by a moved log start", err)
	}
	if err := f.DeleteTopic(context.Background(), topic.ID); err != nil || !woken() {
		t.Fatal("not woken by the deletion", err)
	}
}

func TestCommittedOffsetsAcrossRestart(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		tp := f.create("t", 1, nil)
		for g := range 5 {
			commit(t, f, fmt.Sprint("g", g), "t", int64(10+g))
		}
		for round := range 3 {
			for g := range 5 {
				if got := committed(t, f, fmt.Sprint("g", g), "t"); got != int64(10+g) {
					t.Fatalf("round %d, group %d: offset %d", round, g, got)
				}
			}
			if round == 1 {
				f.maintain() // through a checkpoint
			}
			f.restart()
		}
		if err := f.DeleteTopic(context.Background(), tp.ID); err != nil {
			t.Fatal(err)
		}
		if got := committed(t, f, "g1", "t"); got != -1 {
			t.Fatalf("offset %d of a deleted topic", got)
		}
	})
}

func commit(t testing.TB, f *fixture, g, topic string, offset int64) {
	t.Helper()
	var got group.Body
	f.Group(g, group.CommitOffsets{
		Group: g, Generation: group.NoGeneration,
		Topics: []group.CommitTopic{{Topic: topic, Partitions: []group.CommitPartition{{Offset: offset, LeaderEpoch: -1}}}},
	}, func(b group.Body, err error) {
		if err != nil {
			t.Error(err)
		}
		got = b
	})
	f.Decide()
	if got != nil {
		t.Fatal("a commit was answered before it was durable")
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if r, ok := got.(group.CommitReply); !ok || r.Err != group.None || r.Topics[0].Partitions[0].Err != group.None {
		t.Fatalf("%+v", got)
	}
}

// TestEveryAnswerWaits: repeats, refusals and reads too are answered only when
// what they were decided upon is durable.
func TestEveryAnswerWaits(t *testing.T) {
	f := newFixture(t, 1)
	p := f.create("t", 1, nil).Partitions[0]
	answered := map[string]bool{}
	var first, again broker.AppendItem
	send := func(what string, b []byte, into *broker.AppendItem) {
		info, err := record.Validate(b, record.ValidateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f.Append(t.Context(), &broker.AppendRequest{
			Items: []broker.AppendItem{{Partition: p, Batch: b, Header: info.Header}},
			Done:  func(r *broker.AppendRequest) { *into, answered[what] = r.Items[0], true },
		})
		f.Decide()
	}
	var gap broker.AppendItem
	send("first", f.batch(9, 0, 0, "a"), &first)
	send("repeat", f.batch(9, 0, 0, "a"), &again)
	send("gap", f.batch(9, 0, 7, "b"), &gap)
	f.Group("g", group.FetchOffsets{Groups: []group.FetchGroup{{Group: "g", All: true}}}, func(group.Body, error) { answered["offsets"] = true })
	f.Group("g", group.DescribeGroups{Groups: []string{"g"}}, func(group.Body, error) { answered["groups"] = true })
	f.Decide()
	if len(answered) > 0 {
		t.Fatalf("answered before anything is durable: %v", answered)
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(answered) != 5 {
		t.Fatalf("answered: %v", answered)
	}
	if first.Err != nil || again.Err != nil || again.Base != first.Base || gap.Err == nil {
		t.Fatalf("%+v, %+v, %+v", first, again, gap)
	}
}

func committed(t testing.TB, f *fixture, g, topic string) int64 {
	t.Helper()
	var got group.Body
	f.Group(g, group.FetchOffsets{Groups: []group.FetchGroup{{Group: g, Topics: []group.FetchTopic{{Topic: topic, Partitions: []int32{0}}}}}},
		func(b group.Body, _ error) { got = b })
	f.Decide()
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	return got.(group.FetchReply).Groups[0].Topics[0].Partitions[0].Offset
}

func TestNumberOfShardsStays(t *testing.T) {
	f := newFixture(t, 3)
	f.close()
	eng, err := disk.Open(disk.Options{Dir: f.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	for _, n := range []int{1, 2, 4} {
		if _, err := broker.Open(context.Background(), broker.Config{Engine: eng, Shards: n}); err == nil {
			t.Fatalf("opened with %d shards", n)
		}
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	f := newFixture(t, 1)
	if _, err := disk.Open(disk.Options{Dir: f.dir}); !errors.Is(err, engine.ErrHeld) {
		t.Fatalf("%v", err)
	}
}

// TestConcurrent runs the broker with its goroutines: many appenders, readers
// and an administrator at once.
func TestConcurrent(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := &fixture{t: t, dir: t.TempDir(), fileBytes: 1 << 20, shards: shards, clock: &clock{now: time.Now()}}
		f.open()
		t.Cleanup(f.close)
		tp := f.create("t", 8, nil)
		var wg sync.WaitGroup
		const each = 200
		for i := range 8 {
			wg.Go(func() {
				for n := range each {
					if it := f.append(tp.Partitions[i], f.batch(int64(i), 0, int32(n), fmt.Sprint(n))); it.Err != nil || it.Base != int64(n) {
						t.Errorf("partition %d, batch %d: base %d, %v", i, n, it.Base, it.Err)
						return
					}
				}
			})
			wg.Go(func() {
				w := broker.NewWatcher()
				defer w.Stop()
				w.Watch(tp.Partitions[i])
				for tp.Partitions[i].Bounds().HighWatermark < each {
					<-w.C()
				}
				for off, v := range f.read(tp.Partitions[i], 0) {
					if v != fmt.Sprint(off) {
						t.Errorf("partition %d, offset %d: %q", i, off, v)
					}
				}
			})
		}
		wg.Go(func() {
			for i := range 10 {
				x := f.create(fmt.Sprint("other", i), 3, nil)
				if err := f.DeleteTopic(context.Background(), x.ID); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		f.restart()
		for i := range 8 {
			if got := f.read(f.partition("t", i), 0); len(got) != each {
				t.Errorf("partition %d: %d records after a restart", i, len(got))
			}
		}
	})
}
