package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// fillDisk appends to the partitions in turn until each is refused, and
// returns how many batches were stored.
func (f *fixture) fillDisk(value string, parts ...*broker.Partition) (stored int) {
	f.t.Helper()
	refused := map[*broker.Partition]bool{}
	for i := 0; len(refused) < len(parts); i++ {
		if stored > 20_000 {
			f.t.Fatal("the disk does not fill up")
		}
		p := parts[i%len(parts)]
		it := f.append(p, f.batch(-1, -1, -1, value))
		switch {
		case it.Err == nil:
			stored++
		case kindOf(it.Err) == broker.StorageFull:
			refused[p] = true
		default:
			f.t.Fatal(it.Err)
		}
	}
	return stored
}

// exhaust fills the disk until the shard of p has no room for deletions either.
func (f *fixture) exhaust(d *mem.Disk, p *broker.Partition) {
	f.t.Helper()
	for range 300 {
		f.append(p, f.batch(-1, -1, -1, "x"))
	}
	d.SetFree(0)
	f.fillDisk("x", p)
	for i := int64(1); ; i++ {
		if _, err := f.DeleteRecords(context.Background(), p, i); kindOf(err) == broker.StorageFull {
			return
		} else if err != nil {
			f.t.Fatal(err)
		}
	}
}

// partitions are those of a topic, as the view shows them.
func (f *fixture) partitions(name string) []*broker.Partition {
	f.t.Helper()
	t, ok := f.Topic(name)
	if !ok {
		f.t.Fatalf("no topic %q", name)
	}
	return t.Partitions
}

// blobs counts the blobs whose names begin with prefix.
func (f *fixture) blobs(prefix string) int {
	f.t.Helper()
	names, err := f.eng.Blobs().List(prefix)
	if err != nil {
		f.t.Fatal(err)
	}
	return len(names)
}

// takeBallast uses up space that the engine keeps for blobs.
func (f *fixture) takeBallast(bytes int) {
	f.t.Helper()
	w, err := f.eng.Blobs().Create("test/blob")
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, bytes)); err != nil || w.Commit() != nil {
		f.t.Fatal("the blob cannot be written: ", err)
	}
}

// rest lets background work go on, as it does when nobody asks for anything.
func (f *fixture) rest(steps int) {
	f.t.Helper()
	for range steps {
		if err := f.Maintain(context.Background(), false); err != nil && !errors.Is(err, engine.ErrFull) {
			f.t.Fatal(err)
		}
	}
}

// TestDeletionOnAFullDiskGivesSpaceBack: disk full, delete a topic, space comes
// back, producers go on, without a restart. What is deleted lies in every
// shard, or in one that the refused producers do not use; by itself, or between
// records that stay.
func TestDeletionOnAFullDiskGivesSpaceBack(t *testing.T) {
	value := string(bytes.Repeat([]byte("x"), 40_000))
	// Each fills the disk, and returns the partitions that must go on.
	type filler func(f *fixture, gone, kept []*broker.Partition) []*broker.Partition
	between := func(bytes int) filler {
		return func(f *fixture, gone, kept []*broker.Partition) []*broker.Partition {
			for full := 0; full < len(gone); {
				full = 0
				for i := range gone {
					if it := f.append(gone[i], f.batch(-1, -1, -1, value)); it.Err != nil {
						full++
					}
					f.append(kept[i], f.batch(-1, -1, -1, value[:bytes]))
				}
				f.rest(1) // indexes are made while there is space
			}
			return kept
		}
	}
	for name, c := range map[string]struct {
		files int // of each shard
		taken int // bytes of what the engine keeps for blobs
		fill  filler
	}{
		"apart": {6, 0, func(f *fixture, gone, kept []*broker.Partition) []*broker.Partition {
			f.fillDisk(value, gone...)
			return kept
		}},
		"in another shard": {7, 0, func(f *fixture, gone, kept []*broker.Partition) []*broker.Partition {
			for range 150 {
				f.append(gone[0], f.batch(-1, -1, -1, value))
			}
			if f.shards > 1 {
				kept = slices.DeleteFunc(slices.Clone(kept), func(p *broker.Partition) bool { return p.Shard() == gone[0].Shard() })
			}
			f.fillDisk(value, kept...)
			return kept
		}},
		"between what stays":                    {6, 0, between(300)},
		"between what stays, with little space": {6, 72 << 10, between(600)},
	} {
		t.Run(name, func(t *testing.T) {
			eachShards(t, func(t *testing.T, shards int) {
				d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
				f := onMemShards(t, d, shards)
				t.Cleanup(func() { f.close() })
				gone := f.create("gone", shards, nil)
				f.create("kept", shards, nil)
				d.SetFree(int64(c.files*shards) << 20)
				goOn := c.fill(f, gone.Partitions, f.partitions("kept"))
				d.SetFree(0) // somebody else takes what is too little for a file
				indexes := f.blobs("0000/idx/")
				f.rest(3)
				if f.blobs("0000/idx/") > indexes {
					t.Error("what checkpoints need went to indexes")
				}
				if c.taken > 0 {
					f.takeBallast(c.taken)
				}
				before := map[int32]map[int64]string{}
				for _, p := range f.partitions("kept") {
					before[p.Index()] = f.read(p, 0)
				}
				for _, p := range goOn {
					if it := f.append(p, f.batch(-1, -1, -1, value)); kindOf(it.Err) != broker.StorageFull {
						t.Fatalf("partition %d: the disk is not full: %v", p.Index(), it.Err)
					}
				}
				if err := f.DeleteTopic(context.Background(), gone.ID); err != nil {
					t.Fatal(err)
				}
				for range 16 {
					waiting, rewritten := f.Waiting(), f.Rewritten()
					f.rest(1)
					if f.Short() && f.Rewritten() > rewritten && (shards == 1 && waiting > 0 || f.Waiting() > 1) {
						t.Fatalf("files are rewritten, %d now, while others wait for the space for checkpoints", f.Rewritten())
					}
				}
				const more = 30 // that the rest of one file does not take
				for _, p := range goOn {
					for range more {
						if it := f.append(p, f.batch(-1, -1, -1, value)); it.Err != nil {
							t.Fatalf("partition %d: %v", p.Index(), it.Err)
						}
					}
				}
				if f.Stats().Full {
					t.Error("the statistics say that the disk is full")
				}
				f.close()
				f = onMemShards(t, d, shards)
				for _, p := range f.partitions("kept") {
					got, old := f.read(p, 0), before[p.Index()]
					if len(got) != len(old) && len(got) != len(old)+more {
						t.Fatalf("partition %d: %d records, %d before the deletion", p.Index(), len(got), len(old))
					}
					for off, v := range old {
						if got[off] != v {
							t.Fatalf("partition %d, offset %d: %.20q", p.Index(), off, got[off])
						}
					}
				}
			})
		})
	}
}

// TestDeletionThatOneShardHasNoRoomFor is finished once there is room.
func TestDeletionThatOneShardHasNoRoomFor(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	f := onMemShards(t, d, 3)
	t.Cleanup(f.close)
	ctx := context.Background()
	gone := f.create("gone", 3, nil)
	busy := f.partitions("gone")[0]
	for busy.Shard() == 0 { // the catalogue's
		busy = f.partitions("gone")[busy.Index()+1]
	}
	f.exhaust(d, busy)
	if err := f.DeleteTopic(ctx, gone.ID); err != nil {
		t.Fatal(err)
	}
	if n := f.Logs(gone.ID); n != 1 {
		t.Fatalf("%d logs are left; one shard has no room", n)
	}
	f.rest(1)
	d.SetFree(-1)
	f.rest(1)
	if n := f.Logs(gone.ID); n != 0 {
		t.Fatalf("%d logs of a deleted topic", n)
	}
	if f.Err() != nil {
		t.Fatal(f.Err())
	}
}

// TestLongReplayGetsACheckpoint: a process that dies soon after each start
// replays no more each time.
func TestLongReplayGetsACheckpoint(t *testing.T) {
	f := newFixture(t, 1)
	p := f.create("t", 1, nil).Partitions[0]
	for round := range 3 {
		for range 20 {
			f.append(p, f.batch(-1, -1, -1, "x"))
		}
		f.Abandon()
		if err := f.eng.Close(); err != nil {
			t.Fatal(err)
		}
		f.open()
		slot, _ := f.Recovered(0)
		f.rest(1)
		names, err := f.eng.Blobs().List("0000/checkpoint/")
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("0000/checkpoint/%016x", uint64(slot)); !slices.Contains(names, want) {
			t.Fatalf("round %d: no checkpoint of what was replayed, up to slot %d: %v", round, slot, names)
		}
		p = f.partition("t", 0)
	}
}

// TestFirstCheckpointComesByItself, soon after the start.
func TestFirstCheckpointComesByItself(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir(), fileBytes: 1 << 20, shards: 1, clock: &clock{now: time.Now()}}
	f.open()
	t.Cleanup(f.close)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if names, err := f.eng.Blobs().List("0000/checkpoint/"); err != nil {
			t.Fatal(err)
		} else if len(names) > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no checkpoint")
		}
	}
}

// TestLargeCommitOnAFullDisk is refused: it needs more than is left. The log
// does not fail.
func TestLargeCommitOnAFullDisk(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	f := onMem(t, d)
	t.Cleanup(f.close)
	p := f.create("t", 1, nil).Partitions[0]
	d.SetFree(0)
	f.fillDisk(string(make([]byte, 1000)), p)
	large := group.CommitOffsets{Group: "g", Generation: group.NoGeneration, Topics: []group.CommitTopic{{Topic: "t"}}}
	for i := range int32(100) {
		large.Topics[0].Partitions = append(large.Topics[0].Partitions,
			group.CommitPartition{Partition: i, Offset: 1, LeaderEpoch: -1, Metadata: string(make([]byte, 4000))})
	}
	if _, err := f.GroupWait(context.Background(), "g", large); kindOf(err) != broker.StorageFull {
		t.Fatalf("a commit of 400 KB with 256 KB left: %v", err)
	}
	commit(t, f, "g", "t", 5)
	if f.Err() != nil {
		t.Fatal(f.Err())
	}
}

// TestOffsetsOfALargeGroupExpire, although to say so takes more than a slot.
func TestOffsetsOfALargeGroupExpire(t *testing.T) {
	f := onMem(t, mem.New(mem.Options{Seed: 1, FileBytes: 256 << 10}))
	t.Cleanup(f.close)
	const each, commits = 2500, 40
	for i := range int32(commits) {
		c := group.CommitOffsets{Group: "g", Generation: group.NoGeneration, Topics: []group.CommitTopic{{Topic: "t"}}}
		for p := range int32(each) {
			c.Topics[0].Partitions = append(c.Topics[0].Partitions, group.CommitPartition{Partition: i*each + p, LeaderEpoch: -1})
		}
		if _, err := f.GroupWait(context.Background(), "g", c); err != nil {
			t.Fatal(err)
		}
	}
	f.clock.add(8 * 24 * time.Hour)
	young := group.CommitOffsets{Group: "g", Generation: group.NoGeneration, // so that the group stays
		Topics: []group.CommitTopic{{Topic: "other", Partitions: []group.CommitPartition{{Offset: 1, LeaderEpoch: -1}}}}}
	if _, err := f.GroupWait(context.Background(), "g", young); err != nil {
		t.Fatal(err)
	}
	f.Decide()
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, f, "g", "t"); got != -1 {
		t.Fatalf("offset %d has not expired", got)
	}
	if got := committed(t, f, "g", "other"); got != 1 {
		t.Fatalf("offset %d", got)
	}
}

// TestTimersOnAFullDisk: when not even deletions have room, sessions wait. The
// log does not fail; they expire when there is room.
func TestTimersOnAFullDisk(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	f := onMem(t, d)
	t.Cleanup(f.close)
	ctx := context.Background()
	p := f.create("t", 1, nil).Partitions[0]
	const groups = 40
	for i := range groups {
		name := fmt.Sprint("g", i)
		var joined group.JoinReply
		f.Group(name, group.Join{Group: name, ClientID: "c", MemberIDSuffix: "1", SessionTimeout: time.Duration(10+i) * time.Second,
			ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}},
		}, func(b group.Body, err error) { joined, _ = b.(group.JoinReply) })
		f.Decide()
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		sync := group.Sync{Group: name, MemberID: joined.MemberID, Generation: joined.Generation}
		if body, err := f.GroupWait(ctx, name, sync); err != nil || body.(group.SyncReply).Err != group.None {
			t.Fatal(body, err)
		}
	}
	f.exhaust(d, p)
	states := func() string {
		list, err := f.EachGroupShard(ctx, group.ListGroups{States: []string{"Stable"}})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(len(list[0].(group.ListReply).Groups))
	}
	for range groups + 20 { // one session after the other ends
		f.clock.add(time.Second)
		f.Decide()
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if got := states(); got != fmt.Sprint(groups) {
		t.Fatalf("%s groups have members", got)
	}
	d.SetFree(-1)
	f.Decide()
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := states(); got != "0" {
		t.Fatalf("%s groups have members, and no session is alive", got)
	}
}

// TestQueuesExpireOnAFullDisk as sessions do: when there is room again.
func TestQueuesExpireOnAFullDisk(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	f := onMem(t, d)
	t.Cleanup(f.close)
	v, ok := f.VHost("/")
	if !ok {
		t.Fatal("no vhost")
	}
	session := v.NewSession(deaf{})
	const queues = 40
	for i := range queues {
		spec := queue.Spec{Name: fmt.Sprint("q", i), Durable: true, Settings: queue.NoSettings()}
		spec.Settings.Expires = time.Duration(10+i) * time.Second
		if r, err := session.Call(context.Background(), &queue.Declare{Spec: spec}); err != nil || r.(*queue.DeclareReply).Err != queue.OK {
			t.Fatal(r, err)
		}
	}
	f.exhaust(d, f.create("t", 1, nil).Partitions[0])
	there := func() (n int) {
		for i := range queues {
			if _, ok := v.Queue(fmt.Sprint("q", i)); ok {
				n++
			}
		}
		return n
	}
	for range queues + 20 {
		f.clock.add(time.Second)
		f.Decide()
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if n := there(); n != queues {
		t.Fatalf("%d queues are there", n)
	}
	d.SetFree(-1)
	f.Decide()
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := there(); n != 0 {
		t.Fatalf("%d queues are there that nobody has used", n)
	}
}

// deaf takes deliveries to nobody.
type deaf struct{}

func (deaf) Deliver([]queue.Delivery)    {}
func (deaf) Cancelled([]queue.Cancelled) {}

// TestStopOnAFullDisk: that there is no space for a last checkpoint is no
// failure. The next start replays what it would have spared.
func TestStopOnAFullDisk(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	f := onMem(t, d)
	p := f.create("t", 1, nil).Partitions[0]
	d.SetFree(0)
	stored := f.fillDisk("x", p)
	f.takeBallast(128 << 10)
	f.close()
	d.SetFree(-1)
	f = onMem(t, d)
	t.Cleanup(f.close)
	if got := f.read(f.partition("t", 0), 0); len(got) != stored {
		t.Fatalf("%d of %d records", len(got), stored)
	}
}
