package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// TestCheckTopicLooksAtNoOtherTopic: creating many topics is not quadratic.
func TestCheckTopicLooksAtNoOtherTopic(t *testing.T) {
	f := newFixture(t, 1)
	for i := range 500 {
		f.create(fmt.Sprintf("some.topic_%d", i), 1, nil)
	}
	if err := f.CheckTopic(broker.TopicSpec{Name: "some_topic_7", Partitions: 1}); kindOf(err) != broker.InvalidTopic {
		t.Fatalf("a collision: %v", err)
	}
	allocs := testing.AllocsPerRun(10, func() {
		if err := f.CheckTopic(broker.TopicSpec{Name: "another.topic", Partitions: 1}); err != nil {
			t.Error(err)
		}
	})
	if allocs > 50 {
		t.Fatalf("%v allocations to check a name beside 500 others", allocs)
	}
}

// TestCollidingCreationsRace: of two requests that both found their name free,
// the second one is refused, and leaves nothing behind.
func TestCollidingCreationsRace(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		ctx := context.Background()
		first := f.create("a.b", 2, nil)
		for name, want := range map[string]broker.Kind{"a_b": broker.InvalidTopic, "a.b": broker.TopicExists} {
			if _, err := f.CreateChecked(ctx, broker.TopicSpec{Name: name, Partitions: 2}); kindOf(err) != want {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if n, _ := f.Placed(); n != 2 || len(f.Topics()) != 1 {
			t.Fatalf("%d partitions, topics %v", n, f.Topics())
		}
		for i := range shards {
			_, live := f.State(i)
			f.restart()
			if _, got := f.Recovered(i); string(got) != string(live) {
				t.Fatal("a start has something to clear up")
			}
		}
		if err := f.DeleteTopic(ctx, first.ID); err != nil {
			t.Fatal(err)
		}
		f.create("a_b", 1, nil) // the name is free again
	})
}

// TestPartitionsHaveATotalLimit takes it up to the last one.
func TestPartitionsHaveATotalLimit(t *testing.T) {
	f := onMem(t, mem.New(mem.Options{Seed: 1, FileBytes: 8 << 20}))
	t.Cleanup(f.close)
	ctx := context.Background()
	if _, max := f.Placed(); max != 200_000 {
		t.Errorf("the limit is %d", max)
	}
	const max = 2000
	f.SetPartitionsMax(max)
	big := f.create("big", max/2, nil)
	other := f.create("other", max/2-2, nil)
	f.create("small", 1, nil)
	refused := func(what string, err error) {
		t.Helper()
		if kindOf(err) != broker.InvalidPartitions {
			t.Fatalf("%s: %v", what, err)
		}
	}
	spec := broker.TopicSpec{Name: "more", Partitions: 2}
	refused("check", f.CheckTopic(spec))
	_, err := f.CreateTopic(ctx, spec)
	refused("create", err)
	refused("grow", f.AddPartitions(ctx, other.ID, max/2))
	if n := f.Logs(other.ID); n != max/2-2 {
		t.Fatalf("a growth that is refused opened partitions: %d", n)
	}
	if err := f.AddPartitions(ctx, other.ID, max/2-1); err != nil {
		t.Fatal("the last partition: ", err)
	}
	refused("one more", f.CheckTopic(broker.TopicSpec{Name: "more", Partitions: 1}))
	if err := f.DeleteTopic(ctx, big.ID); err != nil {
		t.Fatal(err)
	}
	f.create("more", max/2, nil)
	refused("one more", f.CheckTopic(broker.TopicSpec{Name: "yet.more", Partitions: 1}))
}

// TestPartitionLimitHoldsForRequestsAtOnce: many requests come at once, and
// only as many get through as there is room for.
func TestPartitionLimitHoldsForRequestsAtOnce(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir(), fileBytes: 1 << 20, shards: 3, clock: &clock{}}
	f.open()
	t.Cleanup(f.close)
	const max = 2000
	f.SetPartitionsMax(max)
	f.create("big", max/2, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 8 {
		wg.Go(func() {
			_, err := f.CreateTopic(context.Background(), broker.TopicSpec{Name: fmt.Sprint("t", i), Partitions: max / 8})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if kindOf(err) != broker.InvalidPartitions {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n, _ := f.Placed(); made != 4 || n != max {
		t.Fatalf("%d topics were created, %d of %d partitions", made, n, max)
	}
	f.restart()
	if n, _ := f.Placed(); n != max {
		t.Fatalf("%d partitions after a restart, %d before", n, max)
	}
}

// TestGrowthOfADeletedTopic: a topic is deleted after a request to grow it has
// looked at it. Nothing stays.
func TestGrowthOfADeletedTopic(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		ctx := context.Background()
		seen := f.create("t", 2, nil)
		if err := f.DeleteTopic(ctx, seen.ID); err != nil {
			t.Fatal(err)
		}
		if err := f.AddPartitionsTo(ctx, seen, 7); kindOf(err) != broker.UnknownTopic {
			t.Fatal(err)
		}
		if n := f.Logs(seen.ID); n != 0 {
			t.Fatalf("%d logs of a deleted topic", n)
		}
		if n, _ := f.Placed(); n != 0 {
			t.Fatalf("%d partitions count", n)
		}
	})
}

// TestGrowthThatIsTooLate: another request has grown the topic meanwhile. What
// is more than that is closed again, and can be opened later.
func TestGrowthThatIsTooLate(t *testing.T) {
	eachShards(t, func(t *testing.T, shards int) {
		f := newFixture(t, shards)
		ctx := context.Background()
		seen := f.create("t", 2, nil)
		if err := f.AddPartitions(ctx, seen.ID, 4); err != nil {
			t.Fatal(err)
		}
		if err := f.AddPartitionsTo(ctx, seen, 9); kindOf(err) != broker.InvalidPartitions {
			t.Fatal(err)
		}
		if n := f.Logs(seen.ID); n != 4 {
			t.Fatalf("%d logs of a topic with 4 partitions", n)
		}
		f.restart()
		if err := f.AddPartitions(ctx, seen.ID, 9); err != nil {
			t.Fatal(err)
		}
		for i := range 9 {
			if it := f.append(f.partition("t", i), f.batch(-1, -1, -1, "x")); it.Err != nil || it.Base != 0 {
				t.Fatalf("partition %d: %+v", i, it)
			}
		}
		f.restart()
		for i := range 9 {
			if got := f.read(f.partition("t", i), 0); len(got) != 1 {
				t.Fatalf("partition %d after a restart: %v", i, got)
			}
		}
	})
}

// TestAdministrationEndsWithoutItsClient: a client that goes away in the middle
// leaves nothing half done.
func TestAdministrationEndsWithoutItsClient(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir(), fileBytes: 1 << 20, shards: 3, clock: &clock{}}
	f.open()
	t.Cleanup(f.close)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	tp, err := f.CreateTopic(gone, broker.TopicSpec{Name: "t", Partitions: 6})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.AddPartitions(gone, tp.ID, 9); err != nil {
		t.Fatal(err)
	}
	if n := f.Logs(tp.ID); n != 9 {
		t.Fatalf("%d logs", n)
	}
	if err := f.DeleteTopic(gone, tp.ID); err != nil {
		t.Fatal(err)
	}
	if n := f.Logs(tp.ID); n != 0 {
		t.Fatalf("%d logs of a deleted topic", n)
	}
}

// TestDeletionLooksAtNoOtherTopic: deleting a topic costs what its partitions
// cost.
func TestDeletionLooksAtNoOtherTopic(t *testing.T) {
	f := newFixture(t, 1)
	f.create("other", 3, nil)
	gone := f.create("gone", 3, nil)
	f.HideAmongStrangers(gone.ID)
	for _, p := range gone.Partitions {
		if !p.Deleted() {
			t.Error("a partition is still there")
		}
	}
}

// TestSettingsHaveATotalLimit fills it with free text.
func TestSettingsHaveATotalLimit(t *testing.T) {
	f := onMem(t, mem.New(mem.Options{Seed: 1, FileBytes: 8 << 20}))
	t.Cleanup(f.close)
	ctx := context.Background()
	text := func(n int) map[string]string {
		return map[string]string{"follower.replication.throttled.replicas": strings.Repeat("1:1,", n/4-1) + "1:1"}
	}
	var last *broker.Topic
	for i := 0; ; i++ {
		tp, err := f.CreateTopic(ctx, broker.TopicSpec{Name: fmt.Sprint("t", i), Partitions: 1, Settings: text(63 << 10)})
		if kindOf(err) == broker.InvalidConfig && i > 200 {
			break
		}
		if err != nil || i > 2000 {
			t.Fatal(i, err)
		}
		last = tp
	}
	if n := len(f.Topics()); n*(63<<10) > 16<<20 {
		t.Fatalf("%d topics", n)
	}
	plain := f.create("plain", 1, nil)
	if err := f.ConfigureTopic(ctx, plain.ID, text(63<<10)); kindOf(err) != broker.InvalidConfig {
		t.Fatal(err)
	}
	if err := f.ConfigureTopic(ctx, last.ID, map[string]string{"retention.ms": "1"}); err != nil {
		t.Fatal("less is refused: ", err)
	}
	if err := f.ConfigureTopic(ctx, plain.ID, text(60<<10)); err != nil {
		t.Fatal("there is room again: ", err)
	}
}
