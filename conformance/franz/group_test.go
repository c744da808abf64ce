package franz

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// member is a client in a group that notes what it owns and sees.
type member struct {
	client *kgo.Client
	stop   func()

	mu      sync.Mutex
	owns    map[int32]bool
	seen    map[string]bool
	changes int
}

// owners says which member of a group owns which partition, as the callbacks of
// the members say it. One that has to give up a partition says so before it
// joins again, and the next one gets it only then.
type owners struct {
	mu    sync.Mutex
	now   map[int32]*member
	last  map[int32]*member
	moves int // of a partition from one member to another
}

func newOwners() *owners { return &owners{now: map[int32]*member{}, last: map[int32]*member{}} }

// change notes that m owns p from now on, or not any more.
func (o *owners) change(t *testing.T, m *member, p int32, owned bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !owned {
		if o.now[p] != m {
			t.Errorf("partition %d is taken from a member that does not own it", p)
		}
		delete(o.now, p)
		return
	}
	if o.now[p] != nil {
		t.Errorf("partition %d is given to a member while one owns it", p)
	}
	if last := o.last[p]; last != nil && last != m {
		o.moves++
	}
	o.now[p], o.last[p] = m, m
}

func (s *suite) join(t *testing.T, group, topic string, opts ...kgo.Opt) *member {
	return s.joinAmong(t, newOwners(), group, topic, opts...)
}

// joinAmong is join for one of several members that are watched together.
func (s *suite) joinAmong(t *testing.T, o *owners, group, topic string, opts ...kgo.Opt) *member {
	m := &member{owns: map[int32]bool{}, seen: map[string]bool{}}
	change := func(owned bool) func(map[string][]int32) {
		return func(change map[string][]int32) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, p := range change[topic] {
				m.changes++
				o.change(t, m, p, owned)
				if m.owns[p] = owned; !owned {
					delete(m.owns, p)
				}
			}
		}
	}
	assigned, revoked := change(true), change(false)
	m.client = s.client(t, append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.OnPartitionsAssigned(func(_ ctx, _ *kgo.Client, c map[string][]int32) { assigned(c) }),
		kgo.OnPartitionsRevoked(func(_ ctx, _ *kgo.Client, c map[string][]int32) { revoked(c) }),
		kgo.OnPartitionsLost(func(_ ctx, _ *kgo.Client, c map[string][]int32) { revoked(c) }),
	}, opts...)...)
	done := make(chan struct{})
	go func() { defer close(done); m.follow(t) }()
	m.stop = sync.OnceFunc(func() { m.client.Close(); <-done })
	t.Cleanup(m.stop)
	return m
}

func (m *member) follow(t *testing.T) {
	for {
		fetches := m.client.PollFetches(t.Context())
		if fetches.IsClientClosed() || t.Context().Err() != nil {
			return
		}
		m.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { m.seen[fmt.Sprint(r.Partition, ":", r.Offset)] = true })
		m.mu.Unlock()
	}
}

// state returns how many partitions the members own, at least, at most and
// all together, and how many records they have seen together.
func state(members ...*member) (least, most, all, seen int) {
	least = 1 << 30
	places := map[string]bool{}
	for _, m := range members {
		m.mu.Lock()
		least, most, all = min(least, len(m.owns)), max(most, len(m.owns)), all+len(m.owns)
		for place := range m.seen {
			places[place] = true
		}
		m.mu.Unlock()
	}
	return least, most, all, len(places)
}

func settled(t *testing.T, partitions int, members ...*member) {
	t.Helper()
	harness.Until(t, "an even assignment", func() bool {
		least, most, all, _ := state(members...)
		return all == partitions && most-least <= 1
	})
}

func (s *suite) cooperative(t *testing.T) {
	topic, group := s.topic(t, 6, nil), harness.Fresh("franz-group")
	spread := kgo.RecordPartitioner(kgo.RoundRobinPartitioner())
	o := newOwners() // no partition is owned by two at once, whatever moves
	members := []*member{s.joinAmong(t, o, group, topic)}
	settled(t, 6, members...)
	for round := range 2 {
		s.send(t, numbered(topic, 60), spread)
		members = append(members, s.joinAmong(t, o, group, topic))
		settled(t, 6, members...)
		harness.Until(t, "all was seen", func() bool { _, _, _, seen := state(members...); return seen >= 60*(round+1) })
	}
	members[0].stop()
	settled(t, 6, members[1:]...)
	s.send(t, numbered(topic, 60), spread)
	harness.Until(t, "all was seen", func() bool { _, _, _, seen := state(members...); return seen == 180 })
	o.mu.Lock()
	defer o.mu.Unlock()
	// 3 of 6 go to the second member, 2 to the third; the 2 of the first, when
	// it goes, to the others.
	if o.moves < 7 || len(o.now) != 6 {
		t.Errorf("%d moves of partitions, want 7 at least; %d are owned", o.moves, len(o.now))
	}
}

func (s *suite) static(t *testing.T) {
	topic, group := s.topic(t, 4, nil), harness.Fresh("franz-group")
	join := func(id string) *member {
		return s.join(t, group, topic, kgo.InstanceID(id), kgo.SessionTimeout(20*time.Second))
	}
	one, two := join("one"), join("two")
	settled(t, 4, one, two)
	one.mu.Lock()
	changes := one.changes
	one.mu.Unlock()
	two.stop()
	two = join("two")
	settled(t, 4, one, two)
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.changes != changes {
		t.Error("a static member's return rebalanced the group")
	}
}
