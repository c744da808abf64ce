package amqpdiff

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

const (
	answerTimeout = 10 * time.Second
	restTimeout   = 10 * time.Second
	drainTimeout  = 3 * time.Second
)

// A Pace is how long a broker must look the same to be at rest. Most of what
// happens after an answer is over when the next one comes; quorum queues take
// another turn of their log.
type Pace struct {
	Classic, Quorum time.Duration
}

// The paces: the first is for finding differences, the second for checking
// that one is no matter of time.
var (
	Quick  = Pace{Classic: 0, Quorum: 5 * time.Millisecond}
	Steady = Pace{Classic: 60 * time.Millisecond, Quorum: 250 * time.Millisecond}
)

// side is one of the two brokers, and what a script has made of it so far.
type side struct {
	name, addr string
	pace       Pace
	observer   *link // lives longer than a script
	links      [connections]*link
	made       []string // names that the broker made up, in order
	queues     []knownQueue
	exchanges  []string
	bindings   []*wire.ExchangeBind // between exchanges
	quorum     bool
}

// link is a connection.
type link struct {
	c        *client
	channels map[uint16]*channel
	seen     int             // events that are part of an outcome
	probes   map[uint16]bool // open ones
}

// knownQueue is a queue that was declared, and is looked at.
type knownQueue struct {
	name  string
	owner int // the connection to which it is exclusive; -1: none
}

// open gives the connection of that number, a new one if there is none.
func (s *side) open(at int) (*link, error) {
	if s.links[at] != nil {
		return s.links[at], nil
	}
	l, err := newLink(s.addr)
	s.links[at] = l
	return l, err
}

func newLink(addr string) (*link, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	return &link{c: c, channels: map[uint16]*channel{}, probes: map[uint16]bool{}}, nil
}

// do carries out a step and gives what it brought, once the broker is at rest.
func (s *side) do(step Step) (*Outcome, error) {
	o := &Outcome{}
	l, err := s.open(step.Conn)
	if err != nil {
		return nil, err
	}
	switch {
	case step.Leave:
		err = s.leave(o, step.Conn)
	case step.Raw != nil:
		err = s.junk(l, step)
	default:
		err = s.method(o, l, step)
	}
	if err != nil {
		return nil, err
	}
	return o, s.rest(o)
}

// openChannel opens a channel if it is not open.
func (s *side) openChannel(l *link, number uint16) error {
	if number == 0 || l.channels[number] != nil {
		return nil
	}
	l.channels[number] = newChannel()
	return l.open(number)
}

// open opens a channel.
func (l *link) open(number uint16) error {
	n := l.c.at()
	if err := l.c.openChannel(number); err != nil {
		return err
	}
	return l.await(n, number, wire.IDChannelOpenOk)
}

// ask sends a method that is sure to be answered.
func (l *link) ask(number uint16, m wire.Method) error {
	n := l.c.at()
	if err := l.c.send(number, m); err != nil {
		return err
	}
	return l.await(n, number, answers(m)...)
}

func (l *link) await(n int, number uint16, ids ...wire.ID) error {
	return l.c.await(n, answerTimeout, func(e event) bool {
		return e.channel == number && slices.Contains(ids, e.method.ID())
	})
}

// method sends a method, and waits until it has been carried out.
func (s *side) method(o *Outcome, l *link, step Step) error {
	if !step.Unopened {
		if err := s.openChannel(l, max(step.Channel, 1)); err != nil {
			return noteEnd(l, err)
		}
	}
	m := s.resolve(step.Method)
	ch := l.channels[step.Channel]
	if ch == nil {
		ch = newChannel()
	}
	if step.Settle != nil && !s.aim(ch, m, step.Settle) {
		return nil // there is nothing to settle
	}
	s.expect(ch, step.Conn, m, step.Content)
	n := l.c.at()
	var err error
	if step.Content != nil {
		err = l.c.publish(step.Channel, m, step.Content.Properties.Encode(), step.Content.Body)
	} else {
		err = l.c.send(step.Channel, m)
	}
	if err == nil {
		err = s.carriedOut(l, max(step.Channel, 1), n, m)
	}
	if errors.Is(err, errSlow) {
		o.add("slow", "no answer to %v", m.ID())
		err = nil
	}
	if _, ok := m.(*wire.ChannelClose); ok {
		s.collect(o)
		delete(l.channels, step.Channel)
	}
	return noteEnd(l, err)
}

// noteEnd forgives the end of a connection, of which the events tell.
func noteEnd(l *link, err error) error {
	if err != nil && l.c.awaitEnd(answerTimeout) {
		return nil
	}
	return err
}

// carriedOut waits for the answer of a method that came after n events, or for
// the end of its channel or connection; and then until the channel has an
// answer to a question that comes after the method.
func (s *side) carriedOut(l *link, number uint16, n int, m wire.Method) error {
	over := false
	ends := func(e event) bool {
		id := e.method.ID()
		over = over || id == wire.IDConnectionClose || id == wire.IDChannelClose && e.channel == number
		return over
	}
	if ids := answers(m); len(ids) > 0 {
		err := l.c.await(n, answerTimeout, func(e event) bool {
			return ends(e) || e.channel == number && slices.Contains(ids, e.method.ID())
		})
		if _, leaves := m.(*wire.ChannelClose); over || err != nil || leaves {
			return err
		}
	}
	l.c.probe(number, &wire.ChannelFlow{Active: true})
	return l.c.await(n, answerTimeout, func(e event) bool {
		return ends(e) || e.channel == number && e.method.ID() == wire.IDChannelFlowOk
	})
}

// junk sends bytes that break the rules; the broker ends the connection, or
// answers what follows.
func (s *side) junk(l *link, step Step) error {
	if err := s.openChannel(l, step.Channel); err != nil {
		return noteEnd(l, err)
	}
	n := l.c.at()
	err := l.c.write(step.Raw)
	if err == nil {
		err = s.carriedOut(l, step.Channel, n, &wire.ChannelFlowOk{})
	}
	return noteEnd(l, err)
}

// resolve is a copy of a method with the names that the broker made up.
func (s *side) resolve(m wire.Method) wire.Method {
	c := reflect.New(reflect.TypeOf(m).Elem())
	c.Elem().Set(reflect.ValueOf(m).Elem())
	for _, name := range []string{"Queue", "RoutingKey"} {
		if f := c.Elem().FieldByName(name); f.IsValid() {
			f.SetString(s.real(f.String()))
		}
	}
	return c.Interface().(wire.Method)
}

// real is what a name "@N" stands for; if it is nothing yet, the name itself.
func (s *side) real(name string) string {
	var n int
	if strings.HasPrefix(name, "@") {
		if _, err := fmt.Sscanf(name, "@%d", &n); err == nil && n < len(s.made) {
			return s.made[n]
		}
	}
	return name
}

// aim sets the delivery tag of a settlement, and takes what it settles from the
// channel. It says whether there is something to send.
func (s *side) aim(ch *channel, m wire.Method, t *Settle) bool {
	var tag uint64
	switch {
	case t.Tag != nil:
		tag = *t.Tag
	case len(ch.held) == 0:
		return false
	default:
		tag = ch.held[t.At%len(ch.held)].tag
	}
	multiple := false
	switch m := m.(type) {
	case *wire.BasicAck:
		m.DeliveryTag, multiple = tag, m.Multiple
	case *wire.BasicNack:
		m.DeliveryTag, multiple = tag, m.Multiple
	case *wire.BasicReject:
		m.DeliveryTag = tag
	}
	ch.settle(tag, multiple)
	return true
}

// expect notes what a method changes on its channel.
func (s *side) expect(ch *channel, at int, m wire.Method, c *Content) {
	switch m := m.(type) {
	case *wire.BasicConsume:
		ch.noAck[m.ConsumerTag], ch.of[m.ConsumerTag] = m.NoAck, cmp.Or(m.Queue, ch.declared)
		delete(ch.ended, m.ConsumerTag)
	case *wire.BasicCancel:
		ch.ended[m.ConsumerTag] = true
	case *wire.BasicGet:
		ch.getNoAck, ch.getQueue = m.NoAck, cmp.Or(m.Queue, ch.declared)
	case *wire.BasicRecover:
		ch.settle(0, true)
	case *wire.BasicRecoverAsync:
		ch.settle(0, true)
	case *wire.TxSelect:
		ch.tx = true
	case *wire.TxCommit:
		ch.settled = nil
	case *wire.TxRollback:
		ch.rollback()
	case *wire.ConfirmSelect:
		ch.confirming = true
	case *wire.BasicPublish:
		if ch.confirming && c != nil {
			ch.published = append(ch.published, c.Properties.MessageID)
			ch.pending++
		}
	case *wire.ExchangeBind:
		if m.Source != "" && m.Destination != "" {
			s.bindings = append(s.bindings, m)
		}
	case *wire.ExchangeDeclare:
		if !slices.Contains(s.exchanges, m.Exchange) {
			s.exchanges = append(s.exchanges, m.Exchange)
		}
	case *wire.QueueDelete:
		for _, l := range s.links {
			if l != nil {
				for _, other := range l.channels {
					other.forget(cmp.Or(m.Queue, ch.declared))
				}
			}
		}
	case *wire.QueueDeclare:
		s.quorum = s.quorum || quorum(m.Arguments)
		if m.NoWait && m.Queue != "" {
			ch.declared = m.Queue
		}
		if m.NoWait && m.Queue != "" && s.knows(m.Queue) < 0 {
			s.queues = append(s.queues, knownQueue{name: m.Queue, owner: at})
		}
	}
}

// leave closes a connection as a client does that is done.
func (s *side) leave(o *Outcome, at int) error {
	l := s.links[at]
	for number := range uint16(channels + 1) {
		if l.channels[number] == nil {
			continue
		}
		if err := l.ask(number, &wire.ChannelClose{ReplyCode: wire.ReplySuccess}); err != nil {
			return noteEnd(l, err)
		}
		s.collect(o)
		delete(l.channels, number)
		if err := s.rest(o); err != nil {
			return err
		}
	}
	if s.links[at] == nil {
		return nil
	}
	l.c.send(0, &wire.ConnectionClose{ReplyCode: wire.ReplySuccess})
	if !l.c.awaitEnd(answerTimeout) {
		return fmt.Errorf("%s does not close connection %d", s.name, at)
	}
	return nil
}
