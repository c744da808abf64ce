package group

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// client drives a machine by hand: it applies what is decided, through the
// encoding.
type client struct {
	t     *testing.T
	m     *Machine
	now   time.Time
	token Token
}

func newClient(t *testing.T, cfg Config) *client {
	return &client{t: t, m: NewMachine(cfg, NewDurable(), start), now: start}
}

// do decides a command and returns its reply, nil if it waits.
func (c *client) do(cmd Command) (body Body) {
	c.t.Helper()
	c.token++
	entries, replies := c.m.Decide(c.now, cmd, c.token)
	for _, e := range entries {
		decoded, err := DecodeEntry(EncodeEntry(nil, e))
		if err != nil {
			c.t.Fatal(err)
		}
		c.m.Apply(decoded)
	}
	for _, r := range replies {
		if r.Token == c.token {
			body = r.Body
		}
	}
	return body
}

func (c *client) join(group string, metadata int) JoinReply {
	c.t.Helper()
	return c.do(Join{
		Group: group, ClientID: "c", MemberIDSuffix: fmt.Sprint(c.token), SessionTimeout: 10 * time.Second,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range", Metadata: make([]byte, metadata)}},
	}).(JoinReply)
}

func (c *client) sync(group string, j JoinReply, assigned int) SyncReply {
	c.t.Helper()
	return c.do(Sync{Group: group, MemberID: j.MemberID, Generation: j.Generation,
		Assignments: []Assignment{{MemberID: j.MemberID, Data: make([]byte, assigned)}}}).(SyncReply)
}

func (c *client) commit(group, topic string, partition int32, metadata int) CommitReply {
	c.t.Helper()
	return c.do(CommitOffsets{Group: group, Generation: NoGeneration, Topics: []CommitTopic{{Topic: topic, Partitions: []CommitPartition{
		{Partition: partition, Offset: 7, LeaderEpoch: -1, Metadata: strings.Repeat("m", metadata)},
	}}}}).(CommitReply)
}

// fill calls add until it is refused with want.
func (c *client) fill(want Kind, add func(i int) Kind) (n int) {
	c.t.Helper()
	for ; ; n++ {
		err := add(n)
		if taken := c.m.taken(); taken > c.m.cfg.StateBytesMax {
			c.t.Fatalf("all groups take %d bytes after step %d", taken, n)
		}
		if err == want {
			return n
		}
		if err != None || n > 100_000 {
			c.t.Fatalf("step %d: %v", n, err)
		}
	}
}

// TestAllGroupsTogetherAreBounded: many groups with large members, or many
// offsets, are refused at a limit, whatever they are made of; groups that are
// at work go on; what goes makes room.
func TestAllGroupsTogetherAreBounded(t *testing.T) {
	const limit = 1 << 20
	for name, c := range map[string]struct {
		want Kind
		add  func(*client, int) Kind
		free func(*client, int)
	}{
		"groups": {GroupMaxSize, func(c *client, i int) Kind {
			g := fmt.Sprint("g", i)
			j := c.join(g, 1000)
			if j.Err == None {
				c.sync(g, j, 1000)
			}
			return j.Err
		}, func(c *client, i int) {
			c.do(Leave{Group: fmt.Sprint("g", i), Members: []LeavingMember{{MemberID: c.m.live(fmt.Sprint("g", i)).leader}}})
		}},
		"groups that never complete": {GroupMaxSize, func(c *client, i int) Kind {
			return c.join(fmt.Sprint("g", i), 1000).Err
		}, func(c *client, i int) {
			c.do(Leave{Group: fmt.Sprint("g", i), Members: []LeavingMember{{MemberID: c.m.live(fmt.Sprint("g", i)).leader}}})
		}},
		"ids that were given out": {GroupMaxSize, func(c *client, i int) Kind {
			j := c.do(Join{Group: "g", ClientID: strings.Repeat("c", 1000), MemberIDSuffix: fmt.Sprint(i), SessionTimeout: 10 * time.Second,
				ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}}, RequireKnownMember: true}).(JoinReply)
			if j.Err == MemberIDRequired {
				return None
			}
			return j.Err
		}, func(c *client, i int) {
			c.do(Leave{Group: "g", Members: []LeavingMember{{MemberID: strings.Repeat("c", 1000) + "-" + fmt.Sprint(i)}}})
		}},
		"assignments": {GroupMaxSize, func(c *client, i int) Kind {
			g := fmt.Sprint("g", i)
			j := c.join(g, 1)
			if j.Err == None {
				c.sync(g, j, 50_000)
			}
			return j.Err
		}, func(c *client, i int) {
			c.do(Leave{Group: fmt.Sprint("g", i), Members: []LeavingMember{{MemberID: c.m.live(fmt.Sprint("g", i)).leader}}})
		}},
		"offsets": {TooManyGroups, func(c *client, i int) Kind {
			return c.commit("g", fmt.Sprint("t", i/10), int32(i), 10).Err
		}, func(c *client, i int) { c.do(TopicDeleted{Topic: fmt.Sprint("t", i)}) }},
		"groups with offsets": {TooManyGroups, func(c *client, i int) Kind {
			return c.commit(fmt.Sprint("g", i), "t", 0, 1000).Err
		}, func(c *client, i int) { c.do(DeleteGroups{Groups: []string{fmt.Sprint("g", i)}}) }},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newClient(t, Config{StateBytesMax: limit})
			work := cl.join("at work", 500)
			cl.sync("at work", work, 500)
			cl.commit("offsets only", "t", 0, 100)
			n := cl.fill(c.want, func(i int) Kind { return c.add(cl, i) })
			if taken := cl.m.taken(); taken < limit/2 {
				t.Fatalf("refused at %d bytes", taken)
			}
			// Groups at work rebalance, and commit what they have committed before.
			if r := cl.do(Leave{Group: "at work", Members: []LeavingMember{{MemberID: work.MemberID}}}).(LeaveReply); r.Members[0].Err != None {
				t.Fatal(r)
			}
			if r := cl.commit("offsets only", "t", 0, 100); r.Err != None {
				t.Fatal("a commit of what is there already: ", r.Err)
			}
			before := cl.m.taken()
			for i := range n / 2 {
				c.free(cl, i)
			}
			if cl.m.taken() >= before {
				t.Fatalf("%d bytes are taken, %d before half of it went", cl.m.taken(), before)
			}
			if err := c.add(cl, n+1); err != None {
				t.Fatal("there is room again: ", err)
			}
			d, err := Restore(cl.m.Durable().Snapshot())
			if err != nil || d.bytes != cl.m.Durable().bytes {
				t.Fatalf("%d bytes after a restart, %d before (%v)", d.bytes, cl.m.Durable().bytes, err)
			}
		})
	}
}

// TestRebalanceGoesOnAtTheLimit: a member that is known joins again, and is
// given its assignment, when new ones are refused.
func TestRebalanceGoesOnAtTheLimit(t *testing.T) {
	c := newClient(t, Config{StateBytesMax: 1 << 20})
	j := c.join("at work", 1000)
	c.sync("at work", j, 1000)
	c.fill(GroupMaxSize, func(i int) Kind { return c.join(fmt.Sprint("g", i), 1000).Err })
	again := c.do(Join{Group: "at work", MemberID: j.MemberID, ClientID: "c", SessionTimeout: 10 * time.Second,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range", Metadata: make([]byte, 1000)}}}).(JoinReply)
	if again.Err != None || again.Generation != j.Generation+1 {
		t.Fatalf("%+v", again)
	}
	if s := c.sync("at work", again, 1500); s.Err != None || len(s.Assignment) != 1500 {
		t.Fatalf("%v", s.Err)
	}
	if s := c.sync("at work", again, 1000); s.Err != None {
		t.Fatalf("%v", s.Err) // once more
	}
	c.do(Leave{Group: "g0", Members: []LeavingMember{{MemberID: c.m.live("g0").leader}}})
	large := c.join("large", 1)
	if s := c.sync("large", large, 400_000); s.Err != GroupTooLarge {
		t.Fatalf("assignments that are too large for all groups: %v", s.Err)
	}
	c.fill(GroupMaxSize, func(i int) Kind { return c.join(fmt.Sprint("h", i), 1).Err })
	if j := c.join("new", 1000); j.Err != GroupMaxSize {
		t.Fatalf("a new member: %v", j.Err)
	}
}

// TestLongNames: what the protocol's older versions cannot say is refused.
func TestLongNames(t *testing.T) {
	c := newClient(t, Config{})
	long := strings.Repeat("g", 40_000)
	if j := c.join(long, 1); j.Err != InvalidGroupID {
		t.Errorf("join: %v", j.Err)
	}
	if r := c.commit(long, "t", 0, 0); r.Err != InvalidGroupID {
		t.Errorf("commit: %v", r.Err)
	}
	j := c.do(Join{Group: "g", ClientID: "c", MemberIDSuffix: "1", SessionTimeout: 10 * time.Second,
		ProtocolType: long, Protocols: []Protocol{{Name: "range"}}}).(JoinReply)
	if j.Err != InconsistentProtocol {
		t.Errorf("protocol type: %v", j.Err)
	}
	if c.m.taken() != 0 {
		t.Errorf("%d bytes are taken", c.m.taken())
	}
}

// TestRemovalsAreSplit: however many offsets go at once, no entry is large, and
// all of them go.
func TestRemovalsAreSplit(t *testing.T) {
	for name, remove := range map[string]func(*client) []Entry{
		"deleted": func(c *client) []Entry {
			cmd := DeleteOffsets{Group: "g"}
			for topic := range 5 {
				list := TopicPartitions{Topic: fmt.Sprint("t", topic)}
				for p := range int32(1300) {
					list.Partitions = append(list.Partitions, p)
				}
				cmd.Topics = append(cmd.Topics, list)
			}
			entries, _ := c.m.Decide(c.now, cmd, 1)
			return entries
		},
		"with their topics": func(c *client) (entries []Entry) {
			for topic := range 5 {
				more, _ := c.m.Decide(c.now, TopicDeleted{Topic: fmt.Sprint("t", topic)}, 1)
				entries = append(entries, more...)
			}
			return entries
		},
		"expired": func(c *client) []Entry {
			c.commit("g", "young", 0, 0)
			c.now = c.now.Add(8 * 24 * time.Hour)
			c.commit("g", "younger", 0, 0)
			entries, _ := c.m.Tick(c.now)
			return entries
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Config{})
			for topic := range 5 {
				for p := range int32(1300) {
					c.commit("g", fmt.Sprint("t", topic), p, 0)
				}
			}
			entries := remove(c)
			for _, e := range entries {
				if size := len(EncodeEntry(nil, e)); size > 8000 {
					t.Fatalf("an entry of %d bytes", size)
				}
				c.m.Apply(e)
			}
			if len(entries) < 6 || len(entries) > 12 {
				t.Fatalf("%d entries", len(entries))
			}
			for topic := range 5 {
				if n := len(c.m.Durable().groups["g"].offsets[fmt.Sprint("t", topic)]); n > 0 {
					t.Fatalf("topic %d: %d offsets are left", topic, n)
				}
			}
		})
	}
}
