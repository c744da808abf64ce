package queue

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
)

// TestTranscripts plays testdata/transcripts. Each file is one conversation;
// rewrite the answers with: go test -run TestTranscripts -rewrite
//
// Queues go by their names; a message is queue#offset, with a priority
// queue/priority#offset. Channel N belongs to connection conn=, which is 1
// unless it is given. After each command the state rebuilt from the entries is
// compared with the live one.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		s := &script{t: t, now: start, replayed: NewDurable(), ids: map[string]ID{}}
		s.m = NewMachine(NewDurable(), s.now, firstLog)
		datadriven.RunTest(t, path, s.run)
	})
}

// firstLog is where the logs of queues begin in tests.
func firstLog() datafile.LogID { return 100 }

type script struct {
	t        *testing.T
	d        *datadriven.TestData
	m        *Machine
	replayed *Durable
	now      time.Time
	ids      map[string]ID
	facts    bool // show them
	out      strings.Builder
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.t, s.d = t, d
	s.out.Reset()
	switch d.Cmd {
	case "facts":
		s.facts = d.CmdArgs[0].Key == "on"
	case "advance":
		s.advance(s.duration(d.CmdArgs[0].Key))
	case "resume":
		stall := s.duration(d.CmdArgs[0].Key)
		s.now = s.now.Add(stall)
		s.m.Resume(stall)
	case "restart":
		s.restart()
	default:
		for range s.int("times", 1) {
			entry, effects, reply := s.m.Decide(s.now, s.command())
			s.take(entry, effects)
			s.showReply(reply)
		}
	}
	if s.out.Len() == 0 {
		return "(nothing)\n"
	}
	return s.out.String()
}

// advance lets time pass, stopping at each deadline as the broker does.
func (s *script) advance(d time.Duration) {
	end := s.now.Add(d)
	for {
		s.now = end
		if next := s.m.NextDeadline(); !next.IsZero() && next.Before(end) {
			s.now = next
		}
		entry, effects := s.m.Tick(s.now)
		s.take(entry, effects)
		if s.now.Equal(end) {
			return
		}
	}
}

// restart keeps what is durable and nothing else.
func (s *script) restart() {
	d := NewDurable()
	r := enc.NewReader(s.m.Durable().Snapshot(nil))
	if err := d.Restore(&r); err != nil || r.Done() != nil {
		s.d.Fatalf(s.t, "restore: %v %v", err, r.Done())
	}
	s.m = NewMachine(d, s.now, firstLog)
	s.advance(0)
}

// take replays the entry and shows what has happened.
func (s *script) take(entry []byte, e *Effects) {
	if entry != nil {
		if err := s.replayed.Apply(slices.Clone(entry)); err != nil {
			s.d.Fatalf(s.t, "replay: %v", err)
		}
		if s.facts {
			s.showFacts(entry)
		}
	}
	if !s.m.Durable().Equal(s.replayed) {
		s.d.Fatalf(s.t, "replay differs from live")
	}
	for _, d := range e.Deliveries {
		waits := ""
		if s.facts && entry != nil && d.After == s.m.Entries() {
			waits = ", waits for the entry"
		}
		s.print("deliver c%d on ch%d: %s%s", d.Consumer, d.Channel, s.showDelivery(&d), waits)
	}
	for _, f := range e.Fetches {
		s.print("fetch %s: %v%s", s.showRef(f.Ref), f.Reason, count(f.Count))
	}
	if s.facts {
		for _, x := range e.Settled {
			s.print("settled log %d: %d to %d, floor %d", x.Log, x.From, x.To, x.Floor)
		}
	}
	for _, d := range e.Dropped {
		s.print("dropped %d from %s: %v", d.Messages, s.name(d.Queue), d.Reason)
	}
	for _, c := range e.Cancelled {
		s.print("cancelled c%d on ch%d", c.Consumer, c.Channel)
	}
	for _, d := range e.Deleted {
		s.print("deleted %s, logs %v", d.Name, d.Logs)
	}
}

func (s *script) print(format string, args ...any) {
	fmt.Fprintf(&s.out, "+%v %s\n", s.now.Sub(start), fmt.Sprintf(format, args...))
}

func (s *script) showRef(r Ref) string {
	if r.Level != 0 {
		return fmt.Sprintf("%s/%d#%d", s.name(r.Queue), r.Level, r.Offset)
	}
	return fmt.Sprintf("%s#%d", s.name(r.Queue), r.Offset)
}

func (s *script) showDelivery(d *Delivery) string {
	text := s.showRef(d.Ref)
	if d.Redelivered {
		text += " redelivered"
	}
	if d.NoAck {
		text += " no-ack"
	}
	return text + count(d.Count)
}

func count(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" count=%d", n)
}

func (s *script) name(id ID) string {
	for n, i := range s.ids {
		if i == id {
			return n
		}
	}
	return fmt.Sprint(id)
}

func (s *script) showReply(reply Reply) {
	switch r := reply.(type) {
	case *DeclareReply:
		if r.Err != OK {
			s.print("%v %s", r.Err, r.Argument)
		} else {
			s.print("created=%v ready=%d consumers=%d", r.Created, r.Ready, r.Consumers)
		}
		if r.Created {
			s.ids[s.d.CmdArgs[0].Key] = r.Queue
		}
	case *DeleteReply:
		s.print("%v ready=%d", r.Err, r.Ready)
	case *PurgeReply:
		s.print("%v purged=%d", r.Err, r.Purged)
	case *InspectReply:
		s.print("%v%s", r.Err, showInfo(&r.Info))
	case *ListReply:
		for i := range r.Queues {
			s.print("%s%s", r.Queues[i].Spec.Name, showInfo(&r.Queues[i]))
		}
	case *PublishReply:
		s.showPlaced(r.Placed)
	case *SettleReply:
		s.showUnknown(r.Unknown)
	case *CommitReply:
		for _, p := range r.Placed {
			s.showPlaced(p)
		}
		s.showUnknown(r.Unknown)
	case *SubscribeReply:
		if r.Err != OK {
			s.print("%v", r.Err)
		}
	case *GetReply:
		switch {
		case r.Err != OK:
			s.print("%v", r.Err)
		case !r.Found:
			s.print("empty")
		default:
			s.print("got %s, %d left", s.showDelivery(&r.Delivery), r.Ready)
		}
	case *MoveReply:
		if r.Err != OK {
			s.print("%v", r.Err)
		}
		s.showPlaced(r.Placed)
	}
}

func (s *script) showPlaced(placed []Placed) {
	for _, p := range placed {
		if p.Outcome == Accepted {
			s.print("%s: log %d, offset %d", s.name(p.Queue), p.Place.Log, p.Place.Offset)
		} else {
			s.print("%s: %s", s.name(p.Queue), [...]string{"", "repeated", "rejected", "rejected, to be dead-lettered", "gone"}[p.Outcome])
		}
	}
}

func (s *script) showUnknown(n int64) {
	if n > 0 {
		s.print("unknown: %d", n)
	}
}

func showInfo(i *Info) string {
	if i.Spec == nil {
		return ""
	}
	text := fmt.Sprintf(" ready=%d unacked=%d", i.Ready, i.Unacknowledged)
	for _, x := range []struct {
		name  string
		value int64
	}{{"moving", i.Moving}, {"delayed", i.Delayed}, {"bytes", i.Bytes}} {
		if x.value != 0 {
			text += fmt.Sprintf(" %s=%d", x.name, x.value)
		}
	}
	for _, c := range i.Consumers {
		text += fmt.Sprintf(" c%d(%d", c.Consumer, c.Unacknowledged)
		if !c.Active {
			text += " waits"
		}
		text += ")"
	}
	return text
}

// showFacts tells what an entry says.
func (s *script) showFacts(entry []byte) {
	r := enc.NewReader(entry[1:])
	for r.Len() > 0 {
		kind := r.Take(1)[0]
		id := ID(r.Uvarint())
		switch kind {
		case factDeclared:
			spec, _ := readSpec(&r)
			s.print("fact: declared %d %s", id, spec.Name)
			continue
		case factDeleted:
			s.print("fact: deleted %d", id)
			continue
		}
		place := fmt.Sprintf("%s/%d", s.name(id), r.Take(1)[0])
		switch kind {
		case factOpened:
			s.print("fact: opened %s log %d", place, r.Uvarint())
		case factAppended:
			var f appended
			f.decode(&r)
			s.print("fact: appended %s offset %d expiry %d size %d", place, f.offset, f.expiry, f.size)
		case factSettled:
			s.print("fact: settled %s %s", place, showSpans(&r))
		case factMarked:
			s.print("fact: marked %s %d", place, r.Uvarint())
		case factReturned:
			n, at := r.Uvarint(), r.Varint()
			s.print("fact: returned %s count %d not before %d %s", place, n, at, showSpans(&r))
		case factDoomed:
			reason := Reason(r.Take(1)[0])
			s.print("fact: doomed %s %v %s", place, reason, showSpans(&r))
		case factRipened:
			s.print("fact: ripened %s %s", place, showSpans(&r))
		case factRequeued:
			s.print("fact: requeued %s count %d %s", place, r.Uvarint(), showSpans(&r))
		}
	}
	s.print("fact: entry of %d bytes", len(entry))
}

func showSpans(r *enc.Reader) (text string) {
	last := int64(0)
	for n := r.Count(2); n > 0; n-- {
		x, _ := readSpan(r, last)
		text += fmt.Sprintf("[%d,%d)", x.from, x.to)
		last = x.to
	}
	return text
}

func (s *script) command() Command {
	conn, ch := ConnectionID(s.int("conn", 1)), ChannelID(s.int("ch", 1))
	switch s.d.Cmd {
	case "declare":
		return s.declare(conn)
	case "delete":
		return &Delete{Connection: conn, Queue: s.queue(0), IfUnused: s.d.HasArg("if-unused"), IfEmpty: s.d.HasArg("if-empty")}
	case "purge":
		return &Purge{Connection: conn, Queue: s.queue(0)}
	case "inspect":
		return &Inspect{Connection: ConnectionID(s.int("conn", 0)), Queue: s.queue(0)}
	case "list":
		return &List{VHost: "/"}
	case "publish":
		return s.publish()
	case "ack", "release", "reject":
		return s.settle(s.d.Cmd, ch)
	case "commit":
		return s.commit(ch)
	case "subscribe":
		return &Subscribe{Connection: conn, Channel: ch, Consumer: s.consumer(), Queue: s.queue(1), Prefetch: s.int("prefetch", 0),
			NoAck: s.d.HasArg("no-ack"), Exclusive: s.d.HasArg("exclusive"), Priority: int32(s.int("priority", 0))}
	case "cancel":
		return &Cancel{Consumer: s.consumer()}
	case "get":
		return &Get{Connection: conn, Channel: ch, Queue: s.queue(0), NoAck: s.d.HasArg("no-ack"), SelfSettled: s.d.HasArg("self-settled")}
	case "prefetch":
		return &Prefetch{Connection: conn, Channel: ch, Limit: s.int("limit", 0)}
	case "flow":
		return &Flow{Connection: conn, Channel: ch, Stopped: s.d.HasArg("stop")}
	case "close-channel":
		return &CloseChannel{Channel: ch}
	case "close-connection":
		return &CloseConnection{Connection: conn}
	case "move":
		return &Move{Ref: s.ref(s.d.CmdArgs[0].Key), Targets: s.queues("to"), Message: s.message()}
	case "move-failed":
		return &MoveFailed{Ref: s.ref(s.d.CmdArgs[0].Key)}
	}
	s.d.Fatalf(s.t, "unknown command %q", s.d.Cmd)
	return nil
}

func (s *script) declare(conn ConnectionID) *Declare {
	c := &Declare{Connection: conn, Passive: s.d.HasArg("passive"), Spec: Spec{
		VHost: "/", Name: s.d.CmdArgs[0].Key, Durable: !s.d.HasArg("transient"),
		AutoDelete: s.d.HasArg("auto-delete"), Settings: NoSettings(),
	}}
	if s.d.HasArg("quorum") {
		c.Spec.Kind = Quorum
	}
	if s.d.HasArg("exclusive") {
		c.Spec.Exclusive = conn
	}
	x := &c.Spec.Settings
	x.MaxPriority = uint8(s.int("max-priority", 0))
	x.TTL = s.duration(s.arg("ttl", "-1ns"))
	x.Expires = s.duration(s.arg("expires", "0s"))
	x.MaxLength, x.MaxBytes = int64(s.int("max-length", None)), int64(s.int("max-bytes", None))
	x.Overflow = map[string]Overflow{"": DropHead, "reject-publish": RejectPublish, "reject-publish-dlx": RejectPublishDeadLetter}[s.arg("overflow", "")]
	x.HasDeadLetter = s.d.HasArg("dlx")
	x.DeliveryLimit = int32(s.int("limit", None))
	x.SingleActive = s.d.HasArg("single-active")
	x.DedupWindow = int32(s.int("dedup", 0))
	for _, a := range s.list("args") {
		n, v, _ := strings.Cut(a, ":")
		c.Spec.Compared = append(c.Spec.Compared, Argument{n, v})
	}
	return c
}

func (s *script) publish() *Publish {
	var targets []ID
	for _, n := range strings.Split(s.d.CmdArgs[0].Key, "+") {
		targets = append(targets, s.id(n))
	}
	return &Publish{Targets: targets, Message: s.message()}
}

func (s *script) message() Message {
	msg := Message{
		Priority: uint8(s.int("priority", 0)), Size: int64(s.int("size", 1)),
		ExpiresAfter: s.duration(s.arg("ttl", "-1ns")), Transient: s.d.HasArg("transient"), DedupID: s.arg("id", ""),
	}
	if d := s.duration(s.arg("delay", "0s")); d > 0 {
		msg.NotBefore = s.now.Add(d)
	}
	return msg
}

func (s *script) settle(what string, ch ChannelID) *Settle {
	c := &Settle{Channel: ch, Uncounted: s.d.HasArg("uncounted")}
	c.Kind = map[string]SettleKind{"ack": Acknowledge, "release": Release, "reject": Reject}[what]
	if d := s.duration(s.arg("delay", "0s")); d > 0 {
		c.NotBefore = s.now.Add(d)
	}
	for _, a := range s.d.CmdArgs {
		if strings.Contains(a.Key, "#") {
			c.Refs = append(c.Refs, s.refs(a.Key))
		}
	}
	return c
}

// commit reads its input: one publish, ack, release or reject per line.
func (s *script) commit(ch ChannelID) *Commit {
	c := &Commit{}
	for _, line := range strings.Split(s.d.Input, "\n") {
		what, arg, _ := strings.Cut(line, " ")
		if what == "publish" {
			c.Publishes = append(c.Publishes, Publish{Targets: []ID{s.id(arg)}, Message: Message{Size: 1, ExpiresAfter: None}})
			continue
		}
		x := s.settle(what, ch)
		x.Refs = append(x.Refs, s.refs(arg))
		c.Settles = append(c.Settles, *x)
	}
	return c
}

// refs reads queue#offset or queue#from-to, the last included.
func (s *script) refs(text string) Range {
	first, last, ok := strings.Cut(text, "-")
	r := s.ref(first)
	x := Range{r.Queue, r.Level, r.Offset, r.Offset + 1}
	if ok {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil {
			s.d.Fatalf(s.t, "%q: %v", text, err)
		}
		x.To = n + 1
	}
	return x
}

func (s *script) ref(text string) Ref {
	place, o, _ := strings.Cut(text, "#")
	q, level, _ := strings.Cut(place, "/")
	n, err := strconv.ParseInt(o, 10, 64)
	if err != nil {
		s.d.Fatalf(s.t, "%q: %v", text, err)
	}
	l, _ := strconv.Atoi(level)
	return Ref{s.id(q), uint8(l), n}
}

func (s *script) consumer() ConsumerID {
	n, err := strconv.Atoi(strings.TrimPrefix(s.d.CmdArgs[0].Key, "c"))
	if err != nil {
		s.d.Fatalf(s.t, "consumer: %v", err)
	}
	return ConsumerID(n)
}

func (s *script) queue(arg int) ID { return s.id(s.d.CmdArgs[arg].Key) }

// id returns the id that a queue had last; 999, which none has, for nobody.
func (s *script) id(name string) ID {
	if name == "nobody" {
		return 999
	}
	if s.ids[name] == 0 {
		s.d.Fatalf(s.t, "no queue %q was ever declared", name)
	}
	return s.ids[name]
}

func (s *script) queues(key string) (ids []ID) {
	for _, n := range s.list(key) {
		ids = append(ids, s.id(n))
	}
	return ids
}

func (s *script) arg(key, def string) string {
	if s.d.HasArg(key) {
		s.d.ScanArgs(s.t, key, &def)
	}
	return def
}

func (s *script) list(key string) []string {
	for _, a := range s.d.CmdArgs {
		if a.Key == key && !slices.Equal(a.Vals, []string{""}) {
			return a.Vals
		}
	}
	return nil
}

func (s *script) int(key string, def int) int {
	n, err := strconv.Atoi(s.arg(key, strconv.Itoa(def)))
	if err != nil {
		s.d.Fatalf(s.t, "%s: %v", key, err)
	}
	return n
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.d.Fatalf(s.t, "%v", err)
	}
	return d
}
