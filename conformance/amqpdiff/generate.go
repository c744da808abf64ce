package amqpdiff

import (
	"fmt"
	"math/rand/v2"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// Generate makes the script of a seed: some steps that set a stage, and then
// some of all kinds.
func Generate(seed uint64) []Step {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x77617877696e67)), prefix: fmt.Sprintf("s%d", seed)}
	g.quorum, g.dying = g.chance(25), g.chance(40)
	g.exchanges = []string{"amq.direct", "amq.fanout", "amq.topic", "amq.headers"}
	g.stage()
	for range 10 + g.IntN(25) {
		g.step()
	}
	return g.script
}

// generator is a script in the making.
type generator struct {
	*rand.Rand
	prefix    string
	quorum    bool // most queues are
	dying     bool // most queues dead-letter
	tame      bool // what follows is to be accepted
	script    []Step
	n         int      // messages so far
	queues    []string // declared so far
	exchanges []string
	conn      int // of the step in the making
	number    uint16
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

// one is one of some values.
func one[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

func (g *generator) add(m wire.Method) *Step {
	g.script = append(g.script, Step{Conn: g.conn, Channel: g.number, Method: m})
	return &g.script[len(g.script)-1]
}

// stage declares queues and exchanges, and binds them.
func (g *generator) stage() {
	g.conn, g.number = 0, 1
	g.tame = true
	for i := range 1 + g.IntN(3) {
		g.queues = append(g.queues, g.queueNamed(i))
	}
	for _, name := range g.queues {
		g.add(&wire.QueueDeclare{Queue: name, Durable: true, Arguments: g.queueArguments()})
	}
	for range g.IntN(3) {
		g.exchangeDeclare()
	}
	for range 1 + g.IntN(5) {
		g.queueBind()
	}
	if g.chance(40) {
		g.add(&wire.ConfirmSelect{})
	}
	for range g.IntN(6) {
		g.publish()
	}
	g.tame = false
}

// step adds a step of any kind. The last connection is for what ends one.
func (g *generator) step() {
	g.conn, g.number = one(g, 0, 0, 0, 0, 1), one(g, uint16(1), 1, 1, 1, 2)
	kinds := []struct {
		weight int
		add    func()
	}{
		{24, g.publish}, {10, g.get}, {12, g.consume}, {14, g.settle}, {5, g.cancel}, {5, g.qos},
		{6, g.queueDeclare}, {4, g.queueBind}, {2, g.queueUnbind}, {2, g.queuePurge}, {3, g.queueDelete},
		{4, g.exchangeDeclare}, {2, g.exchangeBind}, {1, g.exchangeUnbind}, {2, g.exchangeDelete},
		{2, g.recover}, {2, g.confirm}, {4, g.tx}, {2, g.channelEnds}, {1, g.leave}, {3, g.fatal},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	at := g.IntN(total)
	for _, k := range kinds {
		if at -= k.weight; at < 0 {
			k.add()
			return
		}
	}
}

func (g *generator) queueNamed(i int) string { return fmt.Sprintf("%sq%d", g.prefix, i) }

// queue is a queue's name: one that is there, more often than not.
func (g *generator) queue() string {
	if g.chance(4) && !g.tame {
		return one(g, "", g.queueNamed(9), "@0", g.queueNamed(g.IntN(3)))
	}
	return one(g, g.queues...)
}

func (g *generator) exchangeNamed(i int) string { return fmt.Sprintf("%se%d", g.prefix, i) }

func (g *generator) exchange() string {
	if g.chance(4) && !g.tame {
		return one(g, "", "amq.match", g.exchangeNamed(9), g.exchangeNamed(g.IntN(3)))
	}
	return one(g, g.exchanges...)
}

// key is a routing key or a pattern.
func (g *generator) key() string {
	if g.chance(30) {
		return g.queue()
	}
	return one(g, "a", "b", "a.b", "a.b.c", "a..b", "", ".", "*", "#", "a.*", "*.b", "a.#", "#.b", "a.*.b", "a.#.b", "#.#", "*.#", "b.#.#")
}

func (g *generator) settle() {
	s := &Settle{At: g.IntN(4)}
	if g.chance(2) {
		tag := one(g, uint64(0), lastTag)
		s.Tag = &tag
	}
	multiple := g.chance(25)
	if multiple && g.chance(30) {
		s.Tag = new(uint64)
	}
	var m wire.Method
	switch g.IntN(4) {
	case 0, 1:
		m = &wire.BasicAck{Multiple: multiple}
	case 2:
		m = &wire.BasicNack{Multiple: multiple, Requeue: g.requeue()}
	default:
		m = &wire.BasicReject{Requeue: g.requeue()}
	}
	g.add(m).Settle = s
}

func (g *generator) requeue() bool { return g.chance(70) != g.dying }

func (g *generator) get() { g.add(&wire.BasicGet{Queue: g.queue(), NoAck: g.chance(30)}) }

// consume takes a tag that nobody is likely to have: using one again ends the
// connection.
func (g *generator) consume() {
	g.add(&wire.BasicConsume{
		Queue: g.queue(), ConsumerTag: fmt.Sprintf("c%d", len(g.script)), NoAck: g.chance(25), NoLocal: g.chance(5),
		Exclusive: g.chance(10), NoWait: g.chance(10), Arguments: g.consumerArguments(),
	})
}

// cancel ends one of the consumers so far, often enough.
func (g *generator) cancel() {
	var tags []Step
	for _, s := range g.script {
		if m, ok := s.Method.(*wire.BasicConsume); ok && m.ConsumerTag != "" {
			tags = append(tags, s)
		}
	}
	if len(tags) == 0 || g.chance(10) {
		g.add(&wire.BasicCancel{ConsumerTag: "nobody", NoWait: g.chance(20)})
		return
	}
	s := one(g, tags...)
	g.conn, g.number = s.Conn, s.Channel
	g.add(&wire.BasicCancel{ConsumerTag: s.Method.(*wire.BasicConsume).ConsumerTag, NoWait: g.chance(20)})
}

func (g *generator) qos() {
	g.add(&wire.BasicQos{PrefetchCount: uint16(g.IntN(4)), Global: g.chance(25) && (!g.quorum || g.chance(5))})
}

func (g *generator) recover() {
	if g.chance(30) {
		g.add(&wire.BasicRecoverAsync{Requeue: true})
	} else {
		g.add(&wire.BasicRecover{Requeue: true})
	}
}

func (g *generator) confirm() { g.add(&wire.ConfirmSelect{NoWait: g.chance(20)}) }

// tx is most of the time a whole transaction.
func (g *generator) tx() {
	if g.chance(20) {
		g.add(one[wire.Method](g, &wire.TxSelect{}, &wire.TxCommit{}, &wire.TxRollback{}))
		return
	}
	g.number = 2
	g.add(&wire.TxSelect{})
	for range 1 + g.IntN(4) {
		one(g, g.publish, g.publish, g.settle, g.get)()
	}
	g.add(one[wire.Method](g, &wire.TxCommit{}, &wire.TxCommit{}, &wire.TxRollback{}))
}

func (g *generator) channelEnds() {
	g.add(&wire.ChannelClose{ReplyCode: wire.ReplySuccess})
}

func (g *generator) leave() {
	g.script = append(g.script, Step{Conn: g.conn, Leave: true})
}

// Content

// publish publishes a message with an id that no other has.
func (g *generator) publish() {
	id := fmt.Sprintf("m%d", g.n)
	g.n++
	m := &wire.BasicPublish{Exchange: g.exchange(), RoutingKey: g.key(), Mandatory: g.chance(20)}
	if b, ok := earlier[*wire.QueueBind](g); ok && g.chance(60) {
		m.Exchange = b.Exchange
		if g.chance(70) {
			m.RoutingKey = b.RoutingKey
		}
	}
	if g.chance(45) {
		m.Exchange, m.RoutingKey = "", g.queue()
	}
	p := wire.Properties{MessageID: id}
	p.Flags.Set(wire.PropMessageID)
	g.properties(&p)
	body := []byte(id)
	if g.chance(15) {
		body = body[:0]
	}
	g.add(m).Content = &Content{Properties: p, Body: body}
}

func (g *generator) properties(p *wire.Properties) {
	if g.chance(60) {
		p.DeliveryMode = one(g, uint8(1), 2, 2, 2, 0)
		p.Flags.Set(wire.PropDeliveryMode)
	}
	if g.chance(15) {
		p.Priority = one(g, uint8(0), 1, 2, 3, 4, 5, 10, 255)
		p.Flags.Set(wire.PropPriority)
	}
	if g.chance(8) {
		p.Expiration = one(g, "0", "0", "0", "0", "0", "60000", "60000", "60000", "60000", "4294967296", "99999999999")
		if g.chance(5) && !g.tame {
			p.Expiration = one(g, "", "-1", "1.5")
		}
		p.Flags.Set(wire.PropExpiration)
	}
	if g.chance(4) {
		p.UserID = "guest"
		if g.chance(20) && !g.tame {
			p.UserID = one(g, "nobody", "")
		}
		p.Flags.Set(wire.PropUserID)
	}
	if g.chance(5) {
		p.ContentType, p.CorrelationID, p.ReplyTo, p.Timestamp, p.Type, p.AppID = "text/plain", "c", "r", 1700000000, "t", "app"
		for _, f := range []wire.Property{wire.PropContentType, wire.PropCorrelationID, wire.PropReplyTo, wire.PropTimestamp, wire.PropType, wire.PropAppID} {
			p.Flags.Set(f)
		}
	}
	if fields := g.headers(); len(fields) > 0 || g.chance(5) {
		p.Headers = wire.MakeTable(fields...)
		p.Flags.Set(wire.PropHeaders)
	}
}
