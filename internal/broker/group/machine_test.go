package group

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMain makes rapid thorough unless the command line says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.checks": "1000", "rapid.steps": "100"} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := f.Value.Set(value); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}

// TestMachine throws random commands, times, stalls and restarts at a machine
// and checks after each step what must always hold. At the end nobody says
// anything any more: every answer comes, every session ends.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		actions := map[string]func(*rapid.T){"": w.check}
		for _, a := range []struct {
			name   string
			weight int
			do     func(*rapid.T)
		}{
			{"join new", 4, w.joinNew},
			{"join known", 8, w.joinKnown},
			{"sync", 4, w.sync},
			{"sync leader", 4, w.syncLeader},
			{"heartbeat", 2, w.heartbeat},
			{"leave", 1, w.leave},
			{"commit", 2, w.commit},
			{"advance", 4, w.advance},
			{"forget", 1, w.forget},
			{"rare", 1, w.rare},
		} {
			for i := range a.weight {
				actions[fmt.Sprint(a.name, " ", i)] = a.do
			}
		}
		t.Repeat(actions)
		w.silence(t)
	})
}

// world is a machine with its clients, and what must be remembered to check it.
type world struct {
	cfg      Config
	m        *Machine
	now      time.Time
	replayed *Durable
	next     Token
	pending  map[Token]bool
	ids      []string // every member id ever given out
	stored   map[string]int32
}

func newWorld(t *rapid.T) *world {
	w := &world{
		cfg: Config{
			InitialRebalanceDelay:         time.Duration(rapid.IntRange(0, 3).Draw(t, "initial delay")) * time.Second,
			GroupSizeMax:                  rapid.IntRange(1, 5).Draw(t, "group size max"),
			GroupBytesMax:                 rapid.SampledFrom([]int{700, 0}).Draw(t, "group bytes max"),
			StateBytesMax:                 rapid.SampledFrom([]int{4000, 0, 0}).Draw(t, "state bytes max"),
			OffsetsRetention:              time.Hour,
			OffsetsRetentionCheckInterval: time.Minute,
		},
		now:      start,
		replayed: NewDurable(),
		pending:  map[Token]bool{},
		ids:      []string{"", "nobody-0"},
		stored:   map[string]int32{},
	}
	w.m = NewMachine(w.cfg, NewDurable(), w.now)
	return w
}

var (
	groupIDs    = rapid.SampledFrom([]string{"g1", "g1", "g1", "g1", "g1", "g1", "g2", "g2", "g2", ""})
	instanceIDs = rapid.SampledFrom([]string{"", "", "", "i1", "i2"})
	topicNames  = rapid.SampledFrom([]string{"x", "y"})
	topicIDs    = rapid.SampledFrom([]TopicID{{}, {1}, {2}})
	durations   = rapid.SampledFrom([]time.Duration{
		time.Millisecond, time.Millisecond, time.Millisecond, time.Second, time.Second, time.Second,
		3 * time.Second, 3 * time.Second, 6 * time.Second, 10 * time.Second, time.Minute, 6 * time.Minute,
	})
)

func (w *world) someTime(t *rapid.T) time.Duration { return durations.Draw(t, "time") }

func (w *world) memberID(t *rapid.T) string { return rapid.SampledFrom(w.ids).Draw(t, "member") }

// member draws a group and one of its members, if it has any.
func (w *world) member(t *rapid.T) (*liveGroup, *member) {
	g := w.m.live(groupIDs.Draw(t, "group"))
	if g == nil || len(g.members) == 0 {
		t.Skip("no member")
	}
	return g, g.members[rapid.IntRange(0, len(g.members)-1).Draw(t, "index")]
}

func (w *world) decide(t *rapid.T, cmd Command) {
	w.next++
	w.pending[w.next] = true
	before := w.m.Durable().Snapshot()
	entries, replies := w.m.Decide(w.now, cmd, w.next)
	if string(before) != string(w.m.Durable().Snapshot()) {
		t.Fatalf("%T changed what is durable", cmd)
	}
	w.take(t, entries, replies)
	switch cmd.(type) {
	case Join, Sync:
	default:
		if w.pending[w.next] {
			t.Fatalf("%T was not answered at once", cmd)
		}
	}
}

// take applies entries as the broker does, and accounts for replies.
func (w *world) take(t *rapid.T, entries []Entry, replies []Reply) {
	for _, e := range entries {
		encoded := EncodeEntry(nil, e)
		for _, d := range []*Durable{w.m.Durable(), w.replayed} {
			decoded, err := DecodeEntry(encoded)
			if err != nil {
				t.Fatalf("decode %T: %v", e, err)
			}
			if again := EncodeEntry(nil, decoded); string(again) != string(encoded) {
				t.Fatalf("%T: encoded differently the second time", e)
			}
			d.Apply(decoded)
		}
		w.checkGeneration(t, e)
	}
	for _, r := range replies {
		if !w.pending[r.Token] {
			t.Fatalf("token %d was answered twice, or is not one: %#v", r.Token, r.Body)
		}
		delete(w.pending, r.Token)
		if j, ok := r.Body.(JoinReply); ok && j.MemberID != "" {
			w.ids = append(w.ids, j.MemberID)
		}
		if s, ok := r.Body.(SyncReply); ok && s.Err == None && !w.assigned(s) {
			t.Fatalf("sync was answered with what is not stored: %#v", s)
		}
	}
}

func (w *world) checkGeneration(t *rapid.T, e Entry) {
	switch e := e.(type) {
	case GroupStored:
		last, number := w.stored[e.Group], e.Generation.Number
		if number < last || number == last && len(e.Generation.Members) == 0 {
			t.Fatalf("generation %d of %s after %d", number, e.Group, last)
		}
		w.stored[e.Group] = number
	case GroupDeleted:
		delete(w.stored, e.Group)
	}
}

// assigned reports whether some stored member has this assignment.
func (w *world) assigned(s SyncReply) bool {
	for _, g := range w.m.Durable().groups {
		for _, mem := range g.generation.Members {
			if string(mem.Assignment) == string(s.Assignment) && g.generation.Protocol == s.Protocol {
				return true
			}
		}
	}
	return false
}

func (w *world) newJoin(t *rapid.T, group, member, instance string) Join {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"range", "sticky", "range", "other"}), 0, 3).Draw(t, "protocols")
	metadata := rapid.SampledFrom([][]byte{subscription("", "x"), subscription("u", "x"), subscription("", "x", "y"), []byte("?")}).Draw(t, "metadata")
	c := Join{
		Group: group, MemberID: member, InstanceID: instance, ClientID: "c", ClientHost: "h",
		SessionTimeout:     rapid.SampledFrom([]time.Duration{6 * time.Second, 10 * time.Second, time.Minute, time.Minute, 30 * time.Minute, time.Second}).Draw(t, "session"),
		RebalanceTimeout:   rapid.SampledFrom([]time.Duration{0, time.Millisecond, 10 * time.Second, 10 * time.Second, 10 * time.Minute}).Draw(t, "rebalance"),
		ProtocolType:       rapid.SampledFrom([]string{"consumer", "consumer", "consumer", "connect"}).Draw(t, "type"),
		RequireKnownMember: rapid.Bool().Draw(t, "known"),
		SkipAssignment:     rapid.Bool().Draw(t, "skip"),
		MemberIDSuffix:     strconv.Itoa(int(w.next)),
	}
	for _, name := range append([]string{"range"}, names...) {
		c.Protocols = append(c.Protocols, Protocol{Name: name, Metadata: metadata})
	}
	if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
		c.Protocols = c.Protocols[1:]
	}
	return c
}

func (w *world) joinNew(t *rapid.T) {
	w.decide(t, w.newJoin(t, groupIDs.Draw(t, "group"), "", instanceIDs.Draw(t, "instance")))
}

func (w *world) joinKnown(t *rapid.T) {
	if rapid.Bool().Draw(t, "any") {
		w.decide(t, w.newJoin(t, groupIDs.Draw(t, "group"), w.memberID(t), instanceIDs.Draw(t, "instance")))
		return
	}
	g, mem := w.member(t)
	c := w.newJoin(t, g.id, mem.ID, mem.InstanceID)
	if rapid.Bool().Draw(t, "unchanged") {
		c.ProtocolType, c.Protocols = g.protocolType, mem.Protocols
	}
	w.decide(t, c)
}

func (w *world) sync(t *rapid.T) {
	g, mem := w.member(t)
	w.decide(t, Sync{Group: g.id, MemberID: mem.ID, InstanceID: mem.InstanceID,
		Generation: g.generation - int32(rapid.IntRange(0, 4).Draw(t, "behind")/4)})
}

func (w *world) syncLeader(t *rapid.T) {
	g, _ := w.member(t)
	leader := g.byID[g.leader]
	if leader == nil {
		t.Fatalf("members but no leader")
	}
	c := Sync{Group: g.id, MemberID: leader.ID, InstanceID: leader.InstanceID, Generation: g.generation}
	for _, mem := range g.members {
		data := fmt.Sprintf("%s@%d", mem.ID, g.generation)
		c.Assignments = append(c.Assignments, Assignment{MemberID: mem.ID, Data: []byte(data)})
	}
	w.decide(t, c)
}

func (w *world) heartbeat(t *rapid.T) {
	g, mem := w.member(t)
	w.decide(t, Heartbeat{Group: g.id, MemberID: mem.ID, InstanceID: mem.InstanceID, Generation: g.generation})
	w.decide(t, Heartbeat{Group: g.id, MemberID: w.memberID(t), InstanceID: instanceIDs.Draw(t, "instance"), Generation: g.generation})
}

func (w *world) leave(t *rapid.T) {
	c := Leave{Group: groupIDs.Draw(t, "group")}
	for range rapid.IntRange(1, 3).Draw(t, "leaving") {
		c.Members = append(c.Members, LeavingMember{MemberID: w.memberID(t), InstanceID: instanceIDs.Draw(t, "instance")})
	}
	w.decide(t, c)
}

func (w *world) commit(t *rapid.T) {
	c := CommitOffsets{Group: groupIDs.Draw(t, "group"), Generation: NoGeneration, Topics: []CommitTopic{{
		Topic: topicNames.Draw(t, "topic"), ID: topicIDs.Draw(t, "id"),
		Partitions: []CommitPartition{{Partition: rapid.Int32Range(0, 3).Draw(t, "partition"), Offset: int64(w.next), LeaderEpoch: -1}},
	}}}
	if rapid.Bool().Draw(t, "as member") {
		g, mem := w.member(t)
		c.Group, c.MemberID, c.InstanceID, c.Generation = g.id, mem.ID, mem.InstanceID, g.generation
	}
	if rapid.IntRange(0, 9).Draw(t, "retention") == 0 {
		c.Retention = time.Second
	}
	w.decide(t, c)
	fetch := FetchOffsets{Groups: []FetchGroup{{Group: c.Group, All: true}}}
	if len(w.m.fetchOffsets(&fetch).Groups[0].Topics) == 0 && w.m.durable.groups[c.Group] != nil && w.m.checkCommit(&c) == None && w.m.mayGrow(w.m.commitBytes(&c)) {
		t.Fatalf("committed offset is not there")
	}
}

// rare does one of the things that end or outlive most conversations.
func (w *world) rare(t *rapid.T) {
	switch rapid.IntRange(0, 6).Draw(t, "rare") {
	case 0:
		w.fetch(t)
	case 1:
		w.deleteOffsets(t)
	case 2:
		w.admin(t)
	case 3:
		w.topicDeleted(t)
	case 4:
		w.stall(t)
	case 5:
		w.pass(t, time.Hour)
	case 6:
		w.restart(t)
	}
}

func (w *world) fetch(t *rapid.T) {
	w.decide(t, FetchOffsets{Groups: []FetchGroup{
		{Group: groupIDs.Draw(t, "group"), All: true},
		{Group: "unknown", Topics: []FetchTopic{{Topic: "x", Partitions: []int32{0}}}},
	}})
}

func (w *world) deleteOffsets(t *rapid.T) {
	w.decide(t, DeleteOffsets{Group: groupIDs.Draw(t, "group"), Topics: []TopicPartitions{{Topic: topicNames.Draw(t, "topic"), Partitions: []int32{0, 1, 0}}}})
}

func (w *world) admin(t *rapid.T) {
	group := groupIDs.Draw(t, "group")
	w.decide(t, DescribeGroups{Groups: []string{group}})
	w.decide(t, ListGroups{})
	if rapid.Bool().Draw(t, "delete") {
		w.decide(t, DeleteGroups{Groups: []string{group, group}})
	}
}

func (w *world) topicDeleted(t *rapid.T) {
	w.decide(t, TopicDeleted{Topic: topicNames.Draw(t, "topic"), ID: topicIDs.Draw(t, "id")})
}

func (w *world) advance(t *rapid.T) { w.pass(t, w.someTime(t)) }

// pass lets time go by, with a Tick at each deadline.
func (w *world) pass(t *rapid.T, d time.Duration) {
	end := w.now.Add(d)
	for w.now.Before(end) {
		w.now = end
		if next := w.m.NextDeadline(); next.Before(end) {
			w.now = next
		}
		entries, replies := w.m.Tick(w.now)
		w.take(t, entries, replies)
		if next := w.m.NextDeadline(); !next.After(w.now) {
			w.checkProgress(t)
		}
		w.check(t)
	}
}

// checkProgress makes sure that a machine that wants another Tick at once does
// not want one for ever.
func (w *world) checkProgress(t *rapid.T) {
	for range 10 {
		entries, replies := w.m.Tick(w.now)
		w.take(t, entries, replies)
		if w.m.NextDeadline().After(w.now) {
			return
		}
	}
	t.Fatalf("ten ticks at %v and the next is still due", w.now)
}

func (w *world) stall(t *rapid.T) {
	d := w.someTime(t)
	w.now = w.now.Add(d)
	w.m.Resume(d)
}

func (w *world) forget(t *rapid.T) {
	token := Token(rapid.Uint64Range(0, uint64(w.next)).Draw(t, "token"))
	w.m.Forget(token)
	delete(w.pending, token)
}

func (w *world) restart(t *rapid.T) {
	d, err := Restore(w.m.Durable().Snapshot())
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	if !d.Equal(w.m.Durable()) {
		t.Fatalf("restored state differs")
	}
	w.m = NewMachine(w.cfg, d, w.now)
	clear(w.pending)
}

// silence lets all clients go away.
func (w *world) silence(t *rapid.T) {
	w.pass(t, 4*time.Hour)
	if w.m.Waiting() != 0 || len(w.pending) != 0 || len(w.m.session.groups) != 0 || len(w.m.session.timers.heap) != 0 {
		t.Fatalf("after four silent hours: %d waiting, pending %v, %d live groups, %d timers",
			w.m.Waiting(), w.pending, len(w.m.session.groups), len(w.m.session.timers.heap))
	}
	if n := w.m.Durable().Groups(); n != 0 {
		t.Fatalf("%d groups outlived their offsets", n)
	}
}

// check checks what holds between any two calls.
func (w *world) check(t *rapid.T) {
	if !w.m.Durable().Equal(w.replayed) {
		t.Fatalf("replay differs from live")
	}
	if len(w.pending) != w.m.Waiting() {
		t.Fatalf("pending %v, but the machine knows of %d", w.pending, w.m.Waiting())
	}
	for token, mem := range w.m.session.waiting {
		if !w.pending[token] || mem.joinToken != token && mem.syncToken != token {
			t.Fatalf("token %d is lost", token)
		}
		if mem.group.byID[mem.ID] != mem {
			t.Fatalf("token %d waits for a member that is gone", token)
		}
	}
	for id, d := range w.m.durable.groups {
		if g := w.m.live(id); len(d.generation.Members) > 0 && g == nil {
			t.Fatalf("%s has stored members but is not live", id)
		}
	}
	for _, g := range w.m.session.groups {
		w.checkGroup(t, g)
		w.checkTimers(t, g)
	}
	w.checkBytes(t)
}

// checkBytes counts anew what is kept as sums.
func (w *world) checkBytes(t *rapid.T) {
	durable, session := 0, 0
	for id, d := range w.m.durable.groups {
		if d.bytes != d.count(id) {
			t.Fatalf("%s takes %d bytes, and not %d", id, d.count(id), d.bytes)
		}
		durable += d.bytes
	}
	for id, g := range w.m.session.groups {
		session += groupBytes(id) + len(g.protocolType) + g.bytes
		for _, mem := range g.members {
			session += len(mem.Assignment)
		}
		for pending := range g.pending {
			session += pendingBytes(pending)
		}
	}
	if durable != w.m.durable.bytes || session != w.m.session.bytes {
		t.Fatalf("durable %d, session %d bytes; the sums say %d and %d", durable, session, w.m.durable.bytes, w.m.session.bytes)
	}
	if taken := w.m.taken(); taken > w.m.cfg.StateBytesMax {
		t.Fatalf("all groups take %d bytes, more than %d", taken, w.m.cfg.StateBytesMax)
	}
}

func (w *world) checkGroup(t *rapid.T, g *liveGroup) {
	joining, unsynced, bytes, instances := 0, 0, 0, 0
	for _, mem := range g.members {
		switch {
		case g.byID[mem.ID] != mem || g.pending[mem.ID] != nil:
			t.Fatalf("%s is in two states", mem.ID)
		case mem.InstanceID != "" && g.byInstance[mem.InstanceID] != mem:
			t.Fatalf("two members are %s", mem.InstanceID)
		case mem.joining && g.state != PreparingRebalance, mem.syncing && g.state != CompletingRebalance:
			t.Fatalf("%s waits for what cannot come in %v", mem.ID, g.state)
		case mem.joinToken != 0 && !mem.joining, mem.syncToken != 0 && !mem.syncing:
			t.Fatalf("%s has a token but does not wait", mem.ID)
		}
		joining += delta(mem.joining)
		unsynced += delta(mem.unsynced)
		bytes += memberBytes(&mem.Member)
		if mem.InstanceID != "" {
			instances++
		}
	}
	n := len(g.members)
	if joining != 2*g.joined-n || unsynced != 2*g.unsynced-n || bytes != g.bytes || len(g.byID) != n || len(g.byInstance) != instances {
		t.Fatalf("%s miscounts its members", g.id)
	}
	if (g.state == Empty || g.state == Dead) && n > 0 || (g.state == Stable || g.state == CompletingRebalance) && n == 0 {
		t.Fatalf("%v with %d members", g.state, n)
	}
	if n > 0 && (g.byID[g.leader] == nil || g.selectProtocol() == "") {
		t.Fatalf("leader %q, protocol %q", g.leader, g.selectProtocol())
	}
	if g.state != Stable {
		return
	}
	d := &Durable{groups: map[string]*durableGroup{g.id: {generation: g.stored(0).Generation}}}
	o := &Durable{groups: map[string]*durableGroup{g.id: {generation: w.m.durable.groups[g.id].generation}}}
	if !d.Equal(o) {
		t.Fatalf("stable group differs from what is stored")
	}
}

// checkTimers makes sure that whatever is waited for has an end.
func (w *world) checkTimers(t *rapid.T, g *liveGroup) {
	for _, mem := range g.members {
		waits := !mem.isNew && (mem.joining || mem.syncing)
		if mem.session.index == 0 && !waits {
			t.Fatalf("%s lives for ever", mem.ID)
		}
	}
	switch {
	case g.state == PreparingRebalance && g.join.index == 0:
		t.Fatalf("the join barrier of %s stands for ever", g.id)
	case g.state != PreparingRebalance && g.join.index != 0:
		t.Fatalf("%v with a join barrier", g.state)
	case g.state == CompletingRebalance && g.sync.index == 0:
		t.Fatalf("the sync barrier of %s stands for ever", g.id)
	case g.state == Stable && (g.sync.index != 0) != (g.unsynced > 0):
		t.Fatalf("%d have not synced", g.unsynced)
	}
	for id, p := range g.pending {
		if p.index == 0 {
			t.Fatalf("%s may be used for ever", id)
		}
	}
}

// TestNextDeadline checks that calling Tick at deadlines only comes to the same
// as calling it every millisecond.
func TestNextDeadline(t *testing.T) {
	build := func() *Machine {
		m := NewMachine(Config{}, NewDurable(), start)
		for i, session := range []time.Duration{7 * time.Second, 6 * time.Second} {
			join := Join{Group: "g" + strconv.Itoa(i), ClientID: "c", MemberIDSuffix: "1", SessionTimeout: session,
				ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}}}
			_, replies := m.Decide(start, join, Token(2*i+1))
			id := replies[0].Body.(JoinReply).MemberID
			entries, _ := m.Decide(start, Sync{Group: join.Group, MemberID: id, Generation: 1}, Token(2*i+2))
			m.Apply(entries[0])
		}
		return m
	}
	run := func(m *Machine, step func(time.Time) time.Time) (log []string) {
		end := start.Add(10 * time.Second)
		for now := start; now.Before(end); now = step(now) {
			entries, _ := m.Tick(now)
			for _, e := range entries {
				m.Apply(e)
				log = append(log, fmt.Sprint(now.Sub(start), e))
			}
		}
		return log
	}
	a, b := build(), build()
	every := run(a, func(now time.Time) time.Time { return now.Add(time.Millisecond) })
	lazy := run(b, func(time.Time) time.Time { return b.NextDeadline() })
	if len(every) != 2 || fmt.Sprint(every) != fmt.Sprint(lazy) {
		t.Fatalf("every millisecond: %v\nat deadlines: %v", every, lazy)
	}
}

// TestTimeNeverGoesBack checks that a clock that is set back is not followed.
func TestTimeNeverGoesBack(t *testing.T) {
	m := NewMachine(Config{}, NewDurable(), start)
	commit := CommitOffsets{Group: "g", Generation: NoGeneration, Topics: []CommitTopic{{Topic: "x", Partitions: []CommitPartition{{Offset: 1}}}}}
	var last int64
	for i, at := range []time.Duration{0, time.Minute, time.Second, -time.Hour, 2 * time.Minute} {
		entries, _ := m.Decide(start.Add(at), commit, Token(i+1))
		e := entries[0].(OffsetsCommitted)
		if e.CommittedAt < last {
			t.Fatalf("committed at %d, after %d", e.CommittedAt, last)
		}
		last = e.CommittedAt
	}
	if want := start.Add(2 * time.Minute).UnixMilli(); last != want {
		t.Fatalf("the last commit is of %d, want %d", last, want)
	}
}

// TestExpiryInPortions checks that a walk over many groups is done in several
// Ticks, each due at once, and misses none.
func TestExpiryInPortions(t *testing.T) {
	d := NewDurable()
	const groups = 2*expiryBatch + 1
	for i := range groups {
		d.Apply(OffsetsCommitted{Group: strconv.Itoa(i), CommittedAt: start.UnixMilli(), Topics: []CommitTopic{{Topic: "x", Partitions: []CommitPartition{{}}}}})
	}
	now := start.Add(8 * 24 * time.Hour)
	m := NewMachine(Config{}, d, now)
	if at := m.NextDeadline(); !at.Equal(now.Add(10 * time.Minute)) {
		t.Fatalf("the first walk begins at %v", at)
	}
	now = now.Add(10 * time.Minute)
	for ticks := 1; ; ticks++ {
		entries, _ := m.Tick(now)
		if len(entries) == 0 || len(entries) > expiryBatch {
			t.Fatalf("tick %d removed %d groups", ticks, len(entries))
		}
		for _, e := range entries {
			m.Apply(e)
		}
		if m.NextDeadline().After(now) {
			break
		}
	}
	if d.Groups() != 0 {
		t.Fatalf("%d groups are left", d.Groups())
	}
}
