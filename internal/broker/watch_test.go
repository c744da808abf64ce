package broker_test

import (
	"context"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// TestAWatcherSaysWhatChanged: each partition that changed is named once,
// however often it did, and only until it was asked for.
func TestAWatcherSaysWhatChanged(t *testing.T) {
	f := newFixture(t, 1)
	ctx := context.Background()
	topic := f.create("orders", 4, nil)
	w := broker.NewWatcher()
	defer w.Stop()
	for _, p := range topic.Partitions {
		w.Watch(p)
	}
	if got := w.Changed(nil); len(got) != 0 {
		t.Errorf("before any change: %v", got)
	}
	for range 3 {
		f.append(topic.Partitions[2], f.batch(-1, -1, -1, "v"))
	}
	f.append(topic.Partitions[1], f.batch(-1, -1, -1, "v"))
	<-w.C()
	if got := w.Changed(nil); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("after appends to 2 and 1: %v", got)
	}
	if got := w.Changed(nil); len(got) != 0 {
		t.Errorf("asked again: %v", got)
	}
	if _, err := f.DeleteRecords(ctx, topic.Partitions[2], 1); err != nil {
		t.Fatal(err)
	}
	if got := w.Changed([]int{9}); !slices.Equal(got, []int{9, 2}) {
		t.Errorf("after a deletion in 2: %v", got)
	}
	if err := f.DeleteTopic(ctx, topic.ID); err != nil {
		t.Fatal(err)
	}
	got := w.Changed(nil)
	slices.Sort(got)
	if !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("after the topic was deleted: %v", got)
	}
}
