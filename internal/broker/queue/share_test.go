package queue

import (
	"slices"
	"testing"
	"time"
)

// share is what a share group of Kafka would do with the machine: members are
// channels, offsets are a queue's.
type share struct {
	t        *testing.T
	m        *Machine
	q        ID
	now      time.Time
	replayed *Durable
}

func (s *share) decide(cmd Command) Reply {
	s.t.Helper()
	entry, _, reply := s.m.Decide(s.now, cmd)
	s.take(entry)
	return reply
}

func (s *share) take(entry []byte) {
	s.t.Helper()
	if entry != nil {
		if err := s.replayed.Apply(entry); err != nil {
			s.t.Fatal(err)
		}
	}
	if !s.replayed.Equal(s.m.Durable()) {
		s.t.Fatal("replay differs from live")
	}
}

// acquired is an offset and how often it came back.
type acquired struct {
	offset int64
	count  uint32
}

// acquire has a member acquire so many records for 30 s.
func (s *share) acquire(member ChannelID, n int, want ...acquired) {
	s.t.Helper()
	r := s.decide(&Acquire{Connection: 1, Channel: member, Queue: s.q, Max: n, Lock: 30 * time.Second}).(*AcquireReply)
	var got []acquired
	for _, d := range r.Deliveries {
		got = append(got, acquired{d.Ref.Offset, d.Count})
	}
	if r.Err != OK || !slices.Equal(got, want) {
		s.t.Fatalf("acquired %v (%v), want %v", got, r.Err, want)
	}
}

// settle has a member do something with the offsets from one up to another.
func (s *share) settle(member ChannelID, kind SettleKind, from, to, unknown int64) {
	s.t.Helper()
	r := s.decide(&Settle{Kind: kind, Channel: member, Refs: []Range{{s.q, 0, from, to}}}).(*SettleReply)
	if r.Unknown != unknown {
		s.t.Fatalf("%d offsets were not the member's, want %d", r.Unknown, unknown)
	}
}

// advance lets time pass, with a Tick at each deadline.
func (s *share) advance(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for s.now.Before(end) {
		s.now = end
		if next := s.m.NextDeadline(); !next.IsZero() && next.Before(end) {
			s.now = next
		}
		entry, _ := s.m.Tick(s.now)
		s.take(entry)
	}
}

func (s *share) floor() (floor int64) {
	s.m.Durable().Logs(func(l LogState, _ func(func(from, to int64))) { floor = l.Floor })
	return floor
}

// TestShareGroup: ranges of offsets are acquired, acknowledged, released, rejected,
// and come back when their lock ends; how often is counted, and limited.
func TestShareGroup(t *testing.T) {
	s := &share{t: t, m: emptyMachine(), now: start, replayed: NewDurable()}
	spec := Spec{VHost: "/", Name: "group", Durable: true, Settings: NoSettings()}
	spec.Settings.DeliveryLimit = 2
	s.q = s.decide(&Declare{Spec: spec}).(*DeclareReply).Queue
	for range 12 {
		s.decide(&Publish{Targets: []ID{s.q}, Message: Message{ExpiresAfter: None}})
	}
	const anna, ben = 1, 2
	s.acquire(anna, 5, acquired{0, 0}, acquired{1, 0}, acquired{2, 0}, acquired{3, 0}, acquired{4, 0})
	s.acquire(ben, 3, acquired{5, 0}, acquired{6, 0}, acquired{7, 0})
	s.settle(anna, Acknowledge, 0, 2, 0)
	s.settle(anna, Release, 2, 3, 0)
	s.settle(anna, Reject, 3, 4, 0)
	s.settle(ben, Acknowledge, 4, 6, 1) // 4 is Anna's
	if s.floor() != 2 {
		t.Fatalf("floor %d", s.floor())
	}
	s.acquire(ben, 2, acquired{2, 1}, acquired{8, 0}) // by offset

	// Anna's 4 and Ben's 6 and 7 come back when their locks end, 2 and 8 later.
	s.advance(10 * time.Second)
	s.acquire(anna, 1, acquired{9, 0})
	s.advance(20*time.Second - time.Millisecond)
	s.acquire(ben, 2, acquired{10, 0}, acquired{11, 0})
	s.acquire(ben, 5)
	s.advance(time.Millisecond)
	s.settle(anna, Acknowledge, 4, 5, 1) // too late
	s.acquire(anna, 9, acquired{2, 2}, acquired{4, 1}, acquired{6, 1}, acquired{7, 1}, acquired{8, 1})

	// A third time is one too many.
	s.settle(anna, Release, 2, 3, 0)
	s.settle(anna, Acknowledge, 4, 9, 1) // 5 was acknowledged
	if s.floor() != 9 {
		t.Fatalf("floor %d", s.floor())
	}

	// A member that leaves gives back what it holds; so does the end of the
	// process, and that counts nothing.
	s.decide(&CloseChannel{Channel: anna})
	s.acquire(ben, 1, acquired{9, 1})
	d, err := restored(s.m.Durable().Snapshot(nil))
	if err != nil {
		t.Fatal(err)
	}
	s.m = NewMachine(d, s.now, firstLog)
	entry, _ := s.m.Tick(s.now)
	s.take(entry)
	s.acquire(ben, 9, acquired{9, 1}, acquired{10, 0}, acquired{11, 0})

	// A lock that was settled before it ended takes nothing from who has the
	// message since.
	s.advance(10 * time.Second)
	s.settle(ben, Release, 9, 12, 0)
	s.acquire(anna, 9, acquired{9, 2}, acquired{10, 1}, acquired{11, 1})
	s.advance(25 * time.Second)
	s.settle(anna, Acknowledge, 9, 12, 0)
	if s.floor() != 12 {
		t.Fatalf("floor %d", s.floor())
	}
	s.advance(10 * time.Second)
	if next := s.m.NextDeadline(); !next.IsZero() {
		t.Errorf("something is due at %v", next)
	}
}
