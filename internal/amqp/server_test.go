package amqp_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/amqp"
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/listen"
)

// node is a broker that speaks AMQP on loopback.
type node struct {
	t       *testing.T
	disk    *mem.Disk
	broker  *broker.Broker
	addr    string
	stop    func()
	short   atomic.Bool // memory is
	server  *amqp.Server
	methods methodNames
	content int64 // Config.ContentBytesMax
	shards  int
	checks  time.Duration // how often retention is looked at; 0: the default
}

// start runs a broker in memory until the test ends.
func start(t *testing.T) *node { return startWith(t, 0) }

// startWith is start with a limit for what has come in part, or is kept.
func startWith(t *testing.T, content int64) *node {
	n := &node{t: t, disk: mem.New(mem.Options{FileBytes: 8 << 20}), content: content}
	n.open()
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *node) open() {
	n.t.Helper()
	eng, err := n.disk.Engine()
	if err != nil {
		n.t.Fatal(err)
	}
	cfg := broker.Config{Engine: eng, Shards: n.shards}
	if n.checks > 0 {
		cfg.Settings = map[string]string{"log.retention.check.interval.ms": strconv.FormatInt(n.checks.Milliseconds(), 10)}
	}
	n.broker, err = broker.Open(context.Background(), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	server := amqp.New(amqp.Config{
		Broker: n.broker, Version: "test", MemoryShort: n.short.Load, Metrics: amqp.Metrics{Method: n.methods.told},
		ContentBytesMax: n.content,
	})
	n.server = server
	n.broker.SetProtocol(server)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		listen.Serve(ctx, ln, listen.Limits{}, server.ServeConn)
	}()
	n.stop = func() {
		n.stop = func() {}
		cancel()
		<-done
		if err := n.broker.Close(); err != nil {
			n.t.Error(err)
		}
		if err := eng.Close(); err != nil {
			n.t.Error(err)
		}
	}
}

// dial opens a connection that the test's end closes.
func (n *node) dial() *amqp091.Connection {
	n.t.Helper()
	c, err := amqp091.Dial("amqp://guest:guest@" + n.addr + "/")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

func (n *node) channel() *amqp091.Channel {
	n.t.Helper()
	ch, err := n.dial().Channel()
	if err != nil {
		n.t.Fatal(err)
	}
	return ch
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestPublishConsume: what is published is confirmed, delivered and settled.
func TestPublishConsume(t *testing.T) {
	n := start(t)
	ch := n.channel()
	q := must(ch.QueueDeclare("work", true, false, false, false, nil))(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	const messages = 1000
	var confirms []*amqp091.DeferredConfirmation
	for i := range messages {
		c, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", q.Name, true, false, amqp091.Publishing{
			DeliveryMode: amqp091.Persistent, MessageId: string(rune('a' + i%26)), Body: []byte{byte(i), byte(i >> 8)},
			Headers: amqp091.Table{"n": int32(i)},
		})
		if err != nil {
			t.Fatal(err)
		}
		confirms = append(confirms, c)
	}
	for i, c := range confirms {
		if ok, err := c.WaitContext(ctx); !ok || err != nil {
			t.Fatalf("message %d: confirmed %v, %v", i, ok, err)
		}
	}
	deliveries := must(ch.Consume(q.Name, "", false, false, false, false, nil))(t)
	for i := range messages {
		d := <-deliveries
		if got := int(d.Body[0]) | int(d.Body[1])<<8; got != i || d.Redelivered || d.Headers["n"] != int32(i) || d.RoutingKey != "work" {
			t.Fatalf("message %d: %+v", i, d)
		}
		if err := d.Ack(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := ch.Cancel("", false); err != nil {
		t.Fatal(err)
	}
	q = must(ch.QueueDeclarePassive("work", true, false, false, false, nil))(t)
	if q.Messages != 0 {
		t.Errorf("%d messages left", q.Messages)
	}
}

// TestRestart: what was confirmed is there after a restart, what was
// acknowledged is not, and what was delivered says so.
func TestRestart(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("durable", true, false, false, false, nil))(t)
	if err := ch.QueueBind("durable", "key", "amq.topic", false, nil); err != nil {
		t.Fatal(err)
	}
	must(ch.QueueDeclare("passing", false, false, false, false, nil))(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		c := must(ch.PublishWithDeferredConfirm("amq.topic", "key", false, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte{byte(i)}}))(t)
		if !c.Wait() {
			t.Fatal("not confirmed")
		}
	}
	d, ok, err := ch.Get("durable", false)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := d.Ack(false); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := ch.Get("durable", false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	n.stop()
	n.open()
	ch = n.channel()
	for i := 1; i < 3; i++ {
		d, ok, err := ch.Get("durable", true)
		if !ok || err != nil || d.Body[0] != byte(i) || d.Exchange != "amq.topic" || d.RoutingKey != "key" || i == 1 && !d.Redelivered {
			t.Fatalf("message %d: %+v %v %v", i, d, ok, err)
		}
	}
	if _, err := ch.QueueDeclarePassive("passing", false, false, false, false, nil); err == nil {
		t.Error("a queue that is not durable is still there")
	}
}

// TestMemoryAlarm: while memory is short, who publishes waits, and is told; who
// only consumes does not notice.
func TestMemoryAlarm(t *testing.T) {
	n := start(t)
	consumer := n.channel()
	must(consumer.QueueDeclare("q", true, false, false, false, nil))(t)
	conn := n.dial()
	blocked := conn.NotifyBlocked(make(chan amqp091.Blocking, 2))
	ch := must(conn.Channel())(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	n.short.Store(true)
	c := must(ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{Body: []byte("x")}))(t)
	if b := <-blocked; !b.Active || b.Reason != "low on memory" {
		t.Fatalf("blocked: %+v", b)
	}
	empty(t, consumer, "q")
	select {
	case <-c.Done():
		t.Fatal("confirmed while blocked")
	default:
	}
	n.short.Store(false)
	if b := <-blocked; b.Active {
		t.Fatalf("blocked again: %+v", b)
	}
	if !c.Wait() {
		t.Fatal("not confirmed")
	}
	next(t, consumer, "q")
}

// TestDiskAlarm: a full disk blocks who publishes, and tells them; consumers go
// on, and when there is room again so do publishers.
func TestDiskAlarm(t *testing.T) {
	n := start(t)
	consumer := n.channel()
	must(consumer.QueueDeclare("q", true, false, false, false, nil))(t)
	conn := n.dial()
	blocked := conn.NotifyBlocked(make(chan amqp091.Blocking, 10))
	ch := must(conn.Channel())(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	n.disk.SetFree(0)
	body := make([]byte, 256<<10)
	published := 0
	var confirms []*amqp091.DeferredConfirmation
	stop := make(chan struct{})
	publishing := make(chan error, 1)
	go func() {
		for {
			c, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{Body: body})
			if err != nil {
				publishing <- err
				return
			}
			confirms = append(confirms, c)
			select {
			case <-stop:
				publishing <- nil
				return
			default:
			}
		}
	}()
	select {
	case b := <-blocked:
		if !b.Active || b.Reason != "low on disk" {
			t.Fatalf("blocked: %+v", b)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was blocked")
	}
	close(stop)
	for range 3 { // consumers go on
		d, ok, err := consumer.Get("q", false)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := d.Ack(false); err != nil {
			t.Fatal(err)
		}
		published--
	}
	n.disk.SetFree(-1)
	select {
	case b := <-blocked:
		if b.Active {
			t.Fatalf("blocked again: %+v", b)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still blocked")
	}
	if err := <-publishing; err != nil {
		t.Fatal(err)
	}
	for i, c := range confirms {
		if !c.Wait() {
			t.Errorf("message %d of %d was not held but refused", i, len(confirms))
		}
		published++
	}
	q := must(consumer.QueueDeclarePassive("q", true, false, false, false, nil))(t)
	if q.Messages != published {
		t.Errorf("%d messages in the queue, %d confirmed and not taken", q.Messages, published)
	}
}

// TestFullDiskHolds: what was taken from the socket and finds the disk full is
// held until there is room, in its order: no message vanishes, confirmed or not,
// and a transaction waits.
func TestFullDiskHolds(t *testing.T) {
	n, stored := almostFull(t)
	consumer := n.channel()
	conn := n.dial()
	blocked := conn.NotifyBlocked(make(chan amqp091.Blocking, 100))
	ch, tx := must(conn.Channel())(t), must(conn.Channel())(t)
	if err := tx.Tx(); err != nil {
		t.Fatal(err)
	}
	const messages = 60
	publish := func(ch *amqp091.Channel, i, size int) {
		body := make([]byte, size)
		body[0] = byte(i)
		if err := ch.Publish("", "q", false, false, amqp091.Publishing{Body: body}); err != nil {
			t.Error(err)
		}
	}
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			publish(ch, i, []int{200 << 10, 300 << 10, 10}[i%3]) // the last might still fit
		}
		publish(tx, messages, 10)
		sent <- tx.TxCommit()
	}()
	select {
	case b := <-blocked:
		if !b.Active || b.Reason != "low on disk" {
			t.Fatalf("blocked: %+v, broker: %v", b, n.broker.Err())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was blocked")
	}
	select {
	case err := <-sent:
		t.Fatalf("committed on a full disk: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	n.disk.SetFree(-1)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	for range stored {
		next(t, consumer, "q")
	}
	for i := range messages + 1 {
		if d := next(t, consumer, "q"); d.Body[0] != byte(i) {
			t.Fatalf("message %d came where %d belongs", d.Body[0], i)
		}
	}
	empty(t, consumer, "q")
}

// fill publishes messages of 32 KiB, each confirmed, until so many are there or
// the disk is full, and says how many.
func (n *node) fill(most int) (published int) {
	n.t.Helper()
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, nil))(n.t)
	if err := ch.Confirm(false); err != nil {
		n.t.Fatal(err)
	}
	n.disk.SetFree(16 << 20) // files that the log has begun to make must fit
	for ; published < most && !n.broker.Full(); published++ {
		must(ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{Body: make([]byte, 32<<10)}))(n.t).Wait()
	}
	return published
}

// almostFull starts a broker with a queue "q" that has room for less than 200 KiB,
// but for no alarm, and says how many messages are in the queue.
func almostFull(t *testing.T) (*node, int) { return almostFullWith(t, 0) }

// almostFullWith is almostFull with a limit for what is kept.
func almostFullWith(t *testing.T, content int64) (*node, int) {
	t.Helper()
	for range 10 { // the disk may fill up otherwise the second time
		room := startWith(t, content).fill(5000)
		n := startWith(t, content)
		if n.fill(room-1) == room-1 && !n.broker.Full() {
			return n, room - 1
		}
	}
	t.Fatal("the disk never fills up twice in the same way")
	return nil, 0
}

// TestFullDiskHoldsFarewell: who publishes without confirms and closes the
// connection in good order has published, though the disk had no room.
func TestFullDiskHoldsFarewell(t *testing.T) {
	n := start(t)
	stored := n.fill(5000)
	conn := n.dial()
	ch := must(conn.Channel())(t)
	const messages = 200 // more than any file that is still made has room for
	closed := make(chan error, 1)
	go func() {
		for range messages {
			if err := ch.Publish("", "q", false, false, amqp091.Publishing{Body: make([]byte, 200<<10)}); err != nil {
				t.Error(err)
			}
		}
		closed <- conn.Close()
	}()
	select {
	case err := <-closed:
		t.Fatalf("closed on a full disk: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	n.disk.SetFree(-1)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if q := must(n.channel().QueueDeclarePassive("q", true, false, false, false, nil))(t); q.Messages != stored+messages {
		t.Errorf("%d messages, want %d", q.Messages, stored+messages)
	}
}

// keptBytes is the size of the message of withKept.
const keptBytes = 600 << 10

// withKept starts a broker that keeps a message, for which its disk has no room, of a
// channel in confirm mode. prepare is called while there is no alarm yet.
func withKept(t *testing.T, content int64, prepare func(*node)) (*node, *amqp091.Channel, *amqp091.DeferredConfirmation) {
	t.Helper()
	for range 10 { // an alarm may come before the message has been read
		n, _ := almostFullWith(t, content)
		prepare(n)
		conn := n.dial()
		ch := must(conn.Channel())(t)
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		blocked := conn.NotifyBlocked(make(chan amqp091.Blocking, 100))
		for !n.broker.Full() {
			confirm := must(ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{Body: make([]byte, keptBytes)}))(t)
			select {
			case <-confirm.Done(): // the log had begun to make another file
				continue
			case b := <-blocked:
				if n.server.Kept() >= keptBytes {
					if b.Reason != "low on disk" {
						t.Fatalf("blocked: %+v", b)
					}
					return n, ch, confirm
				}
			case <-time.After(20 * time.Second):
				t.Fatal("neither confirmed nor blocked")
			}
			break
		}
		n.disk.SetFree(-1)
	}
	t.Fatal("the alarm always comes first")
	return nil, nil, nil
}

// TestKeptIsNoMatterOfMemory: what the full disk had no room for goes on when there
// is room, though memory is short: it is in memory as it is.
func TestKeptIsNoMatterOfMemory(t *testing.T) {
	n, ch, confirm := withKept(t, 0, func(*node) {})
	n.short.Store(true)
	defer n.short.Store(false)
	n.disk.SetFree(-1)
	select {
	case <-confirm.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("what was kept waits for memory")
	}
	if !confirm.Acked() {
		t.Error("refused")
	}
	// What comes next waits for memory.
	late := must(ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{}))(t)
	select {
	case <-late.Done():
		t.Error("published while memory is short")
	case <-time.After(200 * time.Millisecond):
	}
	n.short.Store(false)
	<-late.Done()
}

// TestKeptIsBounded: what all connections keep for a full disk has a limit; one that
// is beyond it ends, and what it kept no longer counts.
func TestKeptIsBounded(t *testing.T) {
	var r *raw
	n, _, confirm := withKept(t, 1<<20, func(n *node) { // who has begun to publish before there is an alarm
		r = n.raw().open()
		r.method(1, &wire.BasicPublish{RoutingKey: "q"})
		r.send(wire.AppendContentHeader(nil, 1, wire.ContentHeader{BodySize: keptBytes}))
		r.method(2, &wire.ChannelOpen{})
		r.expect(2, &wire.ChannelOpenOk{})
	})
	r.send(wire.AppendBody(nil, 1, 8192, make([]byte, keptBytes)))
	var m wire.ConnectionClose
	r.expect(0, &m)
	if m.ReplyCode != wire.ConnectionForced || !strings.Contains(m.ReplyText, "the disk is full") {
		t.Errorf("closed with %+v", m)
	}
	r.nc.Close()
	n.disk.SetFree(-1)
	if !confirm.Wait() {
		t.Error("refused")
	}
	for end := time.Now().Add(20 * time.Second); n.server.Kept() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes still count as kept", n.server.Kept())
		}
	}
}
