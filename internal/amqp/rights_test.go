package amqp_test

import (
	"context"
	"errors"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// change changes users, vhosts or permissions.
func (n *node) change(decide func(d *access.Durable) ([]access.Entry, error)) {
	n.t.Helper()
	if err := n.broker.ChangeAccess(context.Background(), decide); err != nil {
		n.t.Fatal(err)
	}
}

// publishConfirmed publishes a message and waits until it is confirmed, or the channel
// closed.
func publishConfirmed(ch *amqp091.Channel, exchange, key string, p amqp091.Publishing) error {
	if err := ch.Confirm(false); err != nil {
		return err
	}
	closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
	c, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, p)
	if err != nil {
		return err
	}
	select {
	case err := <-closed:
		return err
	case <-c.Done():
		return nil
	}
}

// TestTopicPermissions: who publishes to a topic exchange, or binds to it, needs
// the right to the routing key; other exchanges do not ask.
func TestTopicPermissions(t *testing.T) {
	n := start(t)
	n.change(func(d *access.Durable) ([]access.Entry, error) {
		var all []access.Entry
		for _, exchange := range []string{"amq.topic", "amq.direct"} {
			es, err := d.DecideSetTopicPermissions(access.TopicGrant{
				User: "guest", VHost: "/", Exchange: exchange,
				Permissions: access.TopicPermissions{Write: "^{username}\\.", Read: "^read\\."},
			})
			if err != nil {
				return nil, err
			}
			all = append(all, es...)
		}
		return all, nil
	})
	conn := n.dial()
	ch := must(conn.Channel())(t)
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	publish := func(exchange, key string, cc ...any) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error {
			p := amqp091.Publishing{}
			if cc != nil {
				p.Headers = amqp091.Table{"CC": cc}
			}
			return publishConfirmed(ch, exchange, key, p)
		}
	}
	bind := func(exchange, key string) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error { return ch.QueueBind("q", key, exchange, false, nil) }
	}
	for _, c := range []struct {
		what string
		do   func(*amqp091.Channel) error
		want int
	}{
		{"publish to an allowed key", publish("amq.topic", "guest.a"), 0},
		{"publish to another key", publish("amq.topic", "other.a"), 403},
		{"publish to another key in CC", publish("amq.topic", "guest.a", "other.a"), 403},
		{"publish to an exchange of another type", publish("amq.direct", "other.a"), 0},
		{"publish to an exchange without topic permissions", publish("amq.fanout", "other.a"), 0},
		{"bind to an allowed key", bind("amq.topic", "read.*"), 0},
		{"bind to another key", bind("amq.topic", "#"), 403},
		{"bind to an exchange of another type", bind("amq.direct", "#"), 0},
		{"unbind another key", func(ch *amqp091.Channel) error { return ch.QueueUnbind("q", "#", "amq.topic", nil) }, 403},
	} {
		n.refuses(conn, c.what, c.want, c.do)
	}
	var e *amqp091.Error
	err := bind("amq.topic", "#")(ch)
	want := "ACCESS_REFUSED - read access to topic '#' in exchange topic 'amq.topic' in vhost '/' refused for user 'guest'"
	if !errors.As(err, &e) || e.Reason != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestDefaultQueueType: a queue that is declared without a type is of its vhost's
// default, if it can be.
func TestDefaultQueueType(t *testing.T) {
	n := start(t)
	n.addVHost("/", "quorum")
	ch := n.channel()
	must(ch.QueueDeclare("default", true, false, false, false, nil))(t)
	must(ch.QueueDeclare("default", true, false, false, false, amqp091.Table{"x-queue-type": "quorum"}))(t)
	must(ch.QueueDeclare("named", true, false, false, false, amqp091.Table{"x-queue-type": "classic"}))(t)
	must(ch.QueueDeclare("passing", false, false, false, false, nil))(t)
	must(ch.QueueDeclare("passing", false, false, false, false, amqp091.Table{"x-queue-type": "classic"}))(t)
	must(ch.QueueDeclare("own", true, false, true, false, nil))(t)
	must(ch.QueueDeclare("gone", true, true, false, false, nil))(t)
	n.refuses(n.dial(), "a queue of another type", 406, func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare("named", true, false, false, false, nil)
		return err
	})
}

// TestNewVHost: a vhost that is made while the broker runs has its exchanges.
func TestNewVHost(t *testing.T) {
	n := start(t)
	n.addVHost("new", "")
	n.allow("guest", "new")
	c := n.dialAs("guest", "new")
	ch := must(c.Channel())(t)
	q := must(ch.QueueDeclare("", false, false, true, false, nil))(t)
	if err := ch.QueueBind(q.Name, "k", "amq.topic", false, nil); err != nil {
		t.Fatal(err)
	}
}

// addVHost makes a vhost, or changes one.
func (n *node) addVHost(name, defaultQueueType string) {
	n.t.Helper()
	if _, err := n.broker.AddVHost(context.Background(), name, defaultQueueType); err != nil {
		n.t.Fatal(err)
	}
}

// allow lets a user do everything in a vhost.
func (n *node) allow(user, vhost string) {
	n.t.Helper()
	n.change(func(d *access.Durable) ([]access.Entry, error) {
		return d.DecideSetPermissions(access.Grant{User: user, VHost: vhost, Permissions: access.Permissions{Configure: ".*", Write: ".*", Read: ".*"}})
	})
}

// dialAs opens a connection of a user, whose name is the password, which the
// test's end closes.
func (n *node) dialAs(user, vhost string) *amqp091.Connection {
	n.t.Helper()
	c, err := amqp091.Dial("amqp://" + user + ":" + user + "@" + n.addr + "/" + vhost)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// TestDeletionEndsConnections: who is in a vhost that is deleted, or of a user who
// is, is told so and leaves; others stay.
func TestDeletionEndsConnections(t *testing.T) {
	n := start(t)
	n.change(func(d *access.Durable) ([]access.Entry, error) {
		return d.DecideAddUser(access.User{Name: "ann", Password: access.HashPassword(access.SHA256, [access.SaltBytes]byte{1}, "ann")})
	})
	n.addVHost("shop", "")
	n.allow("guest", "shop")
	n.allow("ann", "/")
	ended := func(c *amqp091.Connection) chan *amqp091.Error { return c.NotifyClose(make(chan *amqp091.Error, 1)) }
	stays := n.dial()
	inShop := n.dialAs("guest", "shop")
	q := must(must(inShop.Channel())(t).QueueDeclare("", false, false, true, false, nil))(t)
	shopEnd, annEnd := ended(inShop), ended(n.dialAs("ann", ""))

	if err := n.broker.DeleteVHost(context.Background(), "shop"); err != nil {
		t.Fatal(err)
	}
	n.server.VHostDeleted("shop")
	if e := <-shopEnd; e == nil || e.Code != 320 || e.Reason != "CONNECTION_FORCED - vhost 'shop' is deleted" {
		t.Errorf("in the vhost: %v", e)
	}
	n.change(func(d *access.Durable) ([]access.Entry, error) { return d.DecideDeleteUser("ann") })
	n.server.UserDeleted("ann")
	if e := <-annEnd; e == nil || e.Code != 320 || e.Reason != "CONNECTION_FORCED - user 'ann' is deleted" {
		t.Errorf("of the user: %v", e)
	}
	ch := must(stays.Channel())(t)
	if _, err := ch.QueueDeclarePassive(q.Name, false, false, true, false, nil); err == nil {
		t.Error("a queue of the vhost is in another one")
	}
	must(stays.Channel())(t)
}

// TestRefusedVHost: what is said of a vhost that is not there, or not for this
// user, names connection.open as what it answers.
func TestRefusedVHost(t *testing.T) {
	n := start(t)
	n.addVHost("closed", "")
	for vhost, want := range map[string]string{
		"gone":   "NOT_ALLOWED - vhost gone not found",
		"closed": "NOT_ALLOWED - access to vhost 'closed' refused for user 'guest'",
	} {
		r := n.raw()
		r.send([]byte(wire.ProtocolHeader))
		r.expect(0, &wire.ConnectionStart{})
		r.method(0, &wire.ConnectionStartOk{Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest"), Locale: "en_US"})
		r.expect(0, &wire.ConnectionTune{})
		r.method(0, &wire.ConnectionTuneOk{ChannelMax: 100, FrameMax: 8192})
		r.method(0, &wire.ConnectionOpen{VirtualHost: vhost})
		var m wire.ConnectionClose
		r.expect(0, &m)
		if m.ReplyCode != wire.NotAllowed || m.ReplyText != want || m.ClassID != 10 || m.MethodID != 40 {
			t.Errorf("%s: %+v", vhost, m)
		}
	}
}

// TestVHostsInSeveralShards: dead letters of each vhost stay in it, wherever the
// others are, and whatever becomes of them.
func TestVHostsInSeveralShards(t *testing.T) {
	n := &node{t: t, disk: mem.New(mem.Options{FileBytes: 8 << 20}), shards: 3}
	n.open()
	t.Cleanup(func() { n.stop() })
	vhosts := map[string]*amqp091.Channel{"/": n.channel()}
	for _, name := range []string{"a", "b", "c", "d"} {
		n.addVHost(name, "")
		n.allow("guest", name)
		vhosts[name] = must(n.dialAs("guest", name).Channel())(t)
	}
	check := func() {
		t.Helper()
		for name, ch := range vhosts {
			must(ch.QueuePurge("dead", false))(t)
			if err := ch.Publish("", "jobs", false, false, amqp091.Publishing{Body: []byte(name)}); err != nil {
				t.Fatal(err)
			}
			if err := next2(t, ch, "jobs").Reject(false); err != nil {
				t.Fatal(err)
			}
		}
		for name, ch := range vhosts {
			if d := next(t, ch, "dead"); string(d.Body) != name {
				t.Errorf("in vhost %q is the dead letter of %q", name, d.Body)
			}
		}
	}
	for _, ch := range vhosts {
		must(ch.QueueDeclare("jobs", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}))(t)
		must(ch.QueueDeclare("dead", true, false, false, false, nil))(t)
	}
	check()
	for _, name := range []string{"a", "b", "c"} {
		if err := n.broker.DeleteVHost(context.Background(), name); err != nil {
			t.Fatal(err)
		}
		n.server.VHostDeleted(name)
		delete(vhosts, name)
		check()
	}
}

// TestPermissions: what needs which right to what (RabbitMQ, "Access Control", the
// table of operations).
func TestPermissions(t *testing.T) {
	n := start(t)
	n.change(func(d *access.Durable) ([]access.Entry, error) {
		return d.DecideAddUser(access.User{Name: "ann", Password: access.HashPassword(access.SHA256, [access.SaltBytes]byte{1}, "ann")})
	})
	n.change(func(d *access.Durable) ([]access.Entry, error) {
		return d.DecideSetPermissions(access.Grant{User: "ann", VHost: "/", Permissions: access.Permissions{Configure: "c", Write: "w", Read: "r"}})
	})
	root := n.channel()
	for _, name := range []string{"c", "w", "r", "cw", "cr", "wr", "cwr", "none"} {
		must(root.QueueDeclare(name, true, false, false, false, nil))(t)
		if err := root.ExchangeDeclare(name, "fanout", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	declare := func(name string, args amqp091.Table) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclare(name, true, false, false, false, args)
			return err
		}
	}
	exchange := func(name string, args amqp091.Table) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error {
			return ch.ExchangeDeclare(name, "fanout", true, false, false, false, args)
		}
	}
	publish := func(exchange string) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error { return publishConfirmed(ch, exchange, "", amqp091.Publishing{}) }
	}
	conn := n.dialAs("ann", "")
	for _, c := range []struct {
		what string
		do   func(*amqp091.Channel) error
		want int
	}{
		{"declare a queue", declare("c", nil), 0},
		{"declare a queue without configure", declare("wr", nil), 403},
		{"a dead letter exchange without read of the queue", declare("new-c", amqp091.Table{"x-dead-letter-exchange": "w"}), 403},
		{"a dead letter exchange without write of it", declare("new-cr", amqp091.Table{"x-dead-letter-exchange": "c"}), 403},
		{"a dead letter exchange", declare("new-cr", amqp091.Table{"x-dead-letter-exchange": "w"}), 0},
		{"delete a queue without configure", func(ch *amqp091.Channel) error {
			_, err := ch.QueueDelete("wr", false, false, false)
			return err
		}, 403},
		{"declare an exchange", exchange("c", nil), 0},
		{"declare an exchange without configure", exchange("wr", nil), 403},
		{"an alternate exchange without write of it", exchange("new-cr", amqp091.Table{"alternate-exchange": "c"}), 403},
		{"an alternate exchange without read of the exchange", exchange("new-c", amqp091.Table{"alternate-exchange": "w"}), 403},
		{"an alternate exchange", exchange("new-cr", amqp091.Table{"alternate-exchange": "w"}), 0},
		{"delete an exchange without configure", func(ch *amqp091.Channel) error { return ch.ExchangeDelete("wr", false, false) }, 403},
		{"bind", func(ch *amqp091.Channel) error { return ch.QueueBind("w", "", "r", false, nil) }, 0},
		{"bind without write of the queue", func(ch *amqp091.Channel) error { return ch.QueueBind("cr", "", "r", false, nil) }, 403},
		{"bind without read of the exchange", func(ch *amqp091.Channel) error { return ch.QueueBind("w", "", "cw", false, nil) }, 403},
		{"unbind without read of the exchange", func(ch *amqp091.Channel) error { return ch.QueueUnbind("w", "", "cw", nil) }, 403},
		{"bind an exchange", func(ch *amqp091.Channel) error { return ch.ExchangeBind("w", "", "r", false, nil) }, 0},
		{"bind an exchange without write of the destination", func(ch *amqp091.Channel) error { return ch.ExchangeBind("cr", "", "r", false, nil) }, 403},
		{"bind an exchange without read of the source", func(ch *amqp091.Channel) error { return ch.ExchangeBind("w", "", "cw", false, nil) }, 403},
		{"publish", publish("w"), 0},
		{"publish without write", publish("cr"), 403},
		{"get", func(ch *amqp091.Channel) error { _, _, err := ch.Get("r", true); return err }, 0},
		{"get without read", func(ch *amqp091.Channel) error { _, _, err := ch.Get("cw", true); return err }, 403},
		{"consume", func(ch *amqp091.Channel) error {
			_, err := ch.Consume("r", "", true, false, false, false, nil)
			return err
		}, 0},
		{"consume without read", func(ch *amqp091.Channel) error {
			_, err := ch.Consume("cw", "", true, false, false, false, nil)
			return err
		}, 403},
		{"purge", func(ch *amqp091.Channel) error { _, err := ch.QueuePurge("r", false); return err }, 0},
		{"purge without read", func(ch *amqp091.Channel) error { _, err := ch.QueuePurge("cw", false); return err }, 403},
		{"look at what one has no right to", func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclarePassive("none", true, false, false, false, nil)
			return err
		}, 0},
	} {
		n.refuses(conn, c.what, c.want, c.do)
	}
}
