package route

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// world is a Durable and the Table beside it, both fed with decoded entries,
// and a second Durable that only replays.
type world struct {
	d, replayed *Durable
	table       *Table
	result      Result
}

func newWorld() *world { return &world{d: NewDurable(), replayed: NewDurable(), table: NewTable()} }

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// apply feeds entries and checks what must hold after it.
func (w *world) apply(t fataler, entries []Entry) {
	t.Helper()
	var decoded []Entry
	for _, e := range entries {
		encoded := EncodeEntry(nil, e)
		again, err := DecodeEntry(encoded)
		if err != nil {
			t.Fatalf("decode %T: %v", e, err)
		}
		if !bytes.Equal(EncodeEntry(nil, again), encoded) {
			t.Fatalf("%T differs after a round trip", e)
		}
		if err := w.d.Apply(again); err != nil {
			t.Fatalf("apply %T: %v", e, err)
		}
		again, _ = DecodeEntry(encoded)
		if err := w.replayed.Apply(again); err != nil {
			t.Fatalf("replay %T: %v", e, err)
		}
		again, _ = DecodeEntry(encoded)
		decoded = append(decoded, again)
	}
	if err := w.table.Apply(decoded...); err != nil {
		t.Fatalf("table: %v", err)
	}
	snapshot := w.d.Snapshot(nil)
	if !bytes.Equal(snapshot, w.replayed.Snapshot(nil)) {
		t.Fatalf("replay differs from live")
	}
	if !bytes.Equal(snapshot, restored(t, snapshot).Snapshot(nil)) {
		t.Fatalf("a restored snapshot differs")
	}
}

func restored(t fataler, snapshot []byte) *Durable {
	t.Helper()
	d := NewDurable()
	r := enc.NewReader(snapshot)
	if err := errors.Join(d.Restore(&r), r.Done()); err != nil {
		t.Fatalf("restore: %v", err)
	}
	return d
}

// TestTranscripts plays testdata/transcripts. Rewrite the answers with:
// go test -run TestTranscripts -rewrite
//
//	open | close | restart
//	limits [exchanges=N] [bindings=N] [depth=N] [name=N] [arguments=N]
//	declare NAME TYPE [transient] [auto-delete] [internal] [args=(name:value, …)]
//	passive NAME
//	delete NAME [if-unused]
//	bind|unbind SOURCE DESTINATION [key=K] [args=(…)] [missing]
//	gone QUEUE
//	publish EXCHANGE [key=K] [cc=(K, …)] [headers=(…)] [properties=(…)] [random=N] [delay]
//	exchanges | bindings
//
// A destination that begins with > is an exchange. - stands for "", and the
// vhost is / unless vhost=V says otherwise. '1 is the string 1.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := (&script{w, t, d}).run()
			if out == "" {
				return "(nothing)\n"
			}
			return out
		})
	})
}

type script struct {
	*world
	t *testing.T
	*datadriven.TestData
}

func (s *script) run() string {
	switch s.Cmd {
	case "open":
		return s.decided(s.d.DecideOpen(s.vhost()))
	case "close":
		return s.decided(s.d.DecideClose(s.vhost()), nil)
	case "restart":
		return s.decided(s.d.DecideRestart(), nil)
	case "limits":
		s.limits()
		return ""
	case "declare":
		return s.decided(s.d.DecideDeclare(Declare{
			VHost: s.vhost(), Name: s.pos(0), Type: s.pos(1), Durable: !s.HasArg("transient"),
			AutoDelete: s.HasArg("auto-delete"), Internal: s.HasArg("internal"), Arguments: s.arguments("args"),
		}))
	case "passive":
		return s.decided(nil, s.d.CheckPassive(s.vhost(), s.pos(0)))
	case "delete":
		return s.decided(s.d.DecideDelete(s.vhost(), s.pos(0), s.HasArg("if-unused")))
	case "bind":
		return s.decided(s.d.DecideBind(s.bind()))
	case "unbind":
		return s.decided(s.d.DecideUnbind(s.bind()))
	case "gone":
		return s.decided(s.d.DecideDestinationGone(s.vhost(), s.pos(0)), nil)
	case "publish":
		return s.publish()
	case "exchanges":
		return s.exchanges()
	case "bindings":
		return s.bindings()
	}
	s.Fatalf(s.t, "unknown command %s", s.Cmd)
	return ""
}

func (s *script) decided(entries []Entry, err error) string {
	if err != nil {
		return describe(err) + "\n"
	}
	s.apply(s.t, entries)
	var out strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&out, "%s\n", describeEntry(e))
	}
	return out.String()
}

var kindNames = map[ErrorKind]string{
	NotFound: "NotFound", Inequivalent: "Inequivalent", AccessRefused: "AccessRefused", InUse: "InUse",
	InvalidType: "InvalidType", InvalidArgument: "InvalidArgument", LimitReached: "LimitReached",
}

func describe(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return "unexpected: " + err.Error()
	}
	name := kindNames[e.Kind]
	if e.Argument != "" {
		name += " " + e.Argument
	}
	return name + ": " + e.Text
}

func describeEntry(e Entry) string {
	switch e := e.(type) {
	case VHostOpened:
		return "opened " + e.VHost
	case VHostClosed:
		return "closed " + e.VHost
	case ExchangeDeclared:
		return "declared " + describeExchange(e.Exchange)
	case ExchangeDeleted:
		return "deleted " + show(e.Name)
	case Bound:
		return "bound " + describeBinding(e.Binding)
	case Unbound:
		return "unbound " + describeBinding(e.Binding)
	case DestinationGone:
		return "gone " + e.Queue
	}
	return fmt.Sprintf("%T", e)
}

func describeExchange(x Exchange) string {
	out := show(x.Name) + " " + x.Type.String()
	for _, f := range []struct {
		set  bool
		text string
	}{
		{!x.Durable, "transient"}, {x.AutoDelete, "auto-delete"}, {x.Internal, "internal"},
		{x.HasAlternate, "alternate=" + show(x.Alternate)}, {x.DelayedType != 0, "as " + x.DelayedType.String()},
		{x.HashHeader != "", "header=" + x.HashHeader}, {x.HashProperty != "", "property=" + x.HashProperty},
	} {
		if f.set {
			out += " " + f.text
		}
	}
	return out
}

func describeBinding(b Binding) string {
	out := show(b.Source) + " -> " + b.Destination.Kind.String() + " " + b.Destination.Name
	if b.Key != "" {
		out += " key=" + b.Key
	}
	for _, a := range b.Arguments {
		out += " " + a.Name + "=" + string(a.Value)
	}
	return out
}

func show(name string) string {
	if name == "" {
		return "-"
	}
	return name
}

func hide(name string) string {
	if name == "-" {
		return ""
	}
	return name
}

func (s *script) vhost() string {
	vhost := "/"
	s.MaybeScanArgs(s.t, "vhost", &vhost)
	return vhost
}

func (s *script) pos(i int) string { return hide(s.CmdArgs[i].Key) }

func (s *script) one(name string) string {
	v := "-"
	s.MaybeScanArgs(s.t, name, &v)
	return hide(v)
}

func (s *script) list(name string) []string {
	if a, ok := s.Arg(name); ok {
		return a.Vals
	}
	return nil
}

func (s *script) arguments(name string) (out []Argument) {
	for _, pair := range s.list(name) {
		k, v, _ := strings.Cut(pair, ":")
		out = append(out, Argument{k, parseValue(v)})
	}
	return out
}

func parseValue(s string) Value {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Int(n)
	}
	if text, ok := strings.CutPrefix(s, "'"); ok {
		return String(text)
	}
	switch s {
	case "void":
		return Void
	case "true", "false":
		return Bool(s == "true")
	}
	return String(hide(s))
}

func (s *script) limits() {
	l := &s.d.Limits
	for name, limit := range map[string]*int{
		"exchanges": &l.Exchanges, "bindings": &l.Bindings, "depth": &l.Depth, "name": &l.NameBytes, "arguments": &l.ArgumentBytes,
	} {
		s.MaybeScanArgs(s.t, name, limit)
	}
}

func (s *script) bind() Bind {
	b := Bind{VHost: s.vhost(), Source: s.pos(0), Key: s.one("key"), Arguments: s.arguments("args"), QueueExists: !s.HasArg("missing")}
	b.Destination.Name = s.CmdArgs[1].Key
	if name, ok := strings.CutPrefix(b.Destination.Name, ">"); ok {
		b.Destination = Destination{ToExchange, hide(name)}
	}
	return b
}

// fields are the headers and properties of a message.
type fields struct{ headers, properties []Argument }

func (f fields) Header(name string) (Value, bool)   { return argument(f.headers, name) }
func (f fields) Property(name string) (Value, bool) { return argument(f.properties, name) }

func (s *script) publish() string {
	m := Message{Keys: []string{s.one("key")}, Delay: s.HasArg("delay")}
	for _, key := range s.list("cc") {
		m.Keys = append(m.Keys, hide(key))
	}
	s.MaybeScanArgs(s.t, "random", &m.Random)
	if headers, properties := s.arguments("headers"), s.arguments("properties"); len(headers)+len(properties) > 0 {
		m.Fields = fields{headers, properties}
	}
	if err := s.table.Match(&s.result, s.vhost(), s.pos(0), &m); err != nil {
		return describe(err) + "\n"
	}
	if s.result.Unroutable() {
		return "unroutable\n"
	}
	out := strings.Join(s.result.Queues, " ")
	if len(s.result.Delayed) > 0 {
		out = strings.TrimSpace(out + " delayed: " + strings.Join(s.result.Delayed, " "))
	}
	return out + "\n"
}

func (s *script) exchanges() string {
	var out strings.Builder
	for _, x := range s.table.Exchanges(s.vhost()) {
		fmt.Fprintf(&out, "%s\n", describeExchange(x))
	}
	return out.String()
}

func (s *script) bindings() string {
	var out strings.Builder
	for _, b := range s.table.Bindings(s.vhost()) {
		fmt.Fprintf(&out, "%s\n", describeBinding(b))
	}
	return out.String()
}
