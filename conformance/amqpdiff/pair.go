package amqpdiff

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// A Pair is the two brokers that are compared. One script at a time.
type Pair struct {
	waxwing, rabbit *side
	// Seen counts what RabbitMQ's outcomes showed: see sights, and
	// quorumConsumers.
	Seen map[string]int
}

// NewPair connects to the brokers at these addresses, HOST:PORT.
func NewPair(waxwing, rabbit string) (*Pair, error) {
	p := &Pair{
		Seen:    map[string]int{},
		waxwing: &side{name: "Waxwing", addr: waxwing},
		rabbit:  &side{name: "RabbitMQ", addr: rabbit},
	}
	for _, s := range p.sides() {
		var err error
		if s.observer, err = newLink(s.addr); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Close ends the connections.
func (p *Pair) Close() {
	for _, s := range p.sides() {
		if s.observer != nil {
			s.observer.c.nc.Close()
		}
		for _, l := range s.links {
			if l != nil {
				l.c.nc.Close()
			}
		}
	}
}

func (p *Pair) sides() []*side { return []*side{p.waxwing, p.rabbit} }

// A Found is a difference: what each broker did at a step. At the end, after
// the last step, Step is the number of steps.
type Found struct {
	Step            int
	Waxwing, Rabbit []string
	// Known is the name of the intended difference that it is; empty if it
	// is none.
	Known string
}

// String are the lines that only one of the brokers brought.
func (f *Found) String() string {
	var b strings.Builder
	only := func(name string, lines, others []string) {
		for _, line := range lines {
			if !slices.Contains(others, line) {
				fmt.Fprintf(&b, "  %-9s %s\n", name, line)
			}
		}
	}
	only("Waxwing", f.Waxwing, f.Rabbit)
	only("RabbitMQ", f.Rabbit, f.Waxwing)
	return b.String()
}

// Run carries out a script and gives the first difference, nil if there is
// none. Both brokers are clean afterwards. An error says that the script could
// not be carried out.
func (p *Pair) Run(script []Step, pace Pace) (*Found, error) {
	for _, s := range p.sides() {
		s.pace = pace
	}
	found, err := p.steps(script)
	if err == nil && found == nil {
		found, err = p.compare(script, len(script), (*side).finish)
	}
	if cleanErr := p.both((*side).clean); err == nil {
		err = cleanErr
	}
	return found, err
}

func (p *Pair) steps(script []Step) (*Found, error) {
	for i, step := range script {
		if !p.defined(step) {
			continue
		}
		found, err := p.compare(script, i, func(s *side) (*Outcome, error) { return s.do(step) })
		if found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// defined says whether a step means the same on both brokers: where deliveries
// of several consumers came mixed in another order, "all up to this one" does
// not.
func (p *Pair) defined(step Step) bool {
	if step.Settle == nil {
		return true
	}
	var held [2][]string
	for i, s := range p.sides() {
		if l := s.links[step.Conn]; l != nil && l.channels[step.Channel] != nil {
			held[i] = l.channels[step.Channel].labels()
		}
	}
	return slices.Equal(held[0], held[1])
}

// compare does something on both brokers.
func (p *Pair) compare(script []Step, at int, do func(*side) (*Outcome, error)) (*Found, error) {
	var outcomes [2]*Outcome
	err := p.both(func(s *side) (err error) {
		o, err := do(s)
		if s == p.waxwing {
			outcomes[0] = o
		} else {
			outcomes[1] = o
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("step %d: %w", at, err)
	}
	a, b, counted := agreeOnConsumers(script, outcomes[0].Lines(), outcomes[1].Lines())
	if counted {
		p.Seen[quorumConsumers]++
	}
	p.see(b)
	if slices.Equal(a, b) {
		return nil, nil
	}
	return &Found{Step: at, Waxwing: a, Rabbit: b, Known: known(script, at, a, b)}, nil
}

// both does something on both brokers at once.
func (p *Pair) both(do func(*side) error) error {
	done := make(chan error)
	go func() { done <- do(p.waxwing) }()
	err := do(p.rabbit)
	if other := <-done; err == nil {
		err = other
	}
	return err
}

// finish closes the connections and reads what is in the queues.
func (s *side) finish() (*Outcome, error) {
	o := &Outcome{}
	for at, l := range s.links {
		if l == nil {
			continue
		}
		if err := s.leave(o, at); err != nil {
			return nil, err
		}
		if err := s.rest(o); err != nil {
			return nil, err
		}
	}
	for i := range s.queues {
		if err := s.drain(o, i); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// drainChannel is where queues are read, anew for each: RabbitMQ remembers on a
// channel of which kind a queue was, and fails if another has its name now.
const drainChannel = probeChannel - 2

// drain reads a queue to its end, with basic.get or, where that may not be, with
// a consumer.
func (s *side) drain(o *Outcome, i int) error {
	p, err := s.probe(s.observer, []int{i})
	if err != nil || p[0].ok == nil {
		return err
	}
	l, stream := s.observer, "content "+s.label(s.queues[i].name)
	if err := l.open(drainChannel); err != nil {
		return err
	}
	for {
		n := l.c.at()
		l.c.send(drainChannel, &wire.BasicGet{Queue: s.queues[i].name, NoAck: true})
		var got event
		err := l.c.await(n, answerTimeout, func(e event) bool {
			got = e
			return e.channel == drainChannel
		})
		if err != nil {
			return fmt.Errorf("%s: reading %s: %w", s.name, s.queues[i].name, err)
		}
		switch m := got.method.(type) {
		case *wire.BasicGetOk:
			o.add(stream, "%s", s.message(m.Redelivered, m.Exchange, m.RoutingKey, got))
		case *wire.ChannelClose:
			o.add(stream, "%d", m.ReplyCode)
			return s.drainByConsumer(o, stream, s.queues[i].name, int(p[0].ok.MessageCount))
		default:
			return l.ask(drainChannel, &wire.ChannelClose{ReplyCode: wire.ReplySuccess})
		}
	}
}

// drainByConsumer reads so many messages.
func (s *side) drainByConsumer(o *Outcome, stream, queue string, count int) error {
	l := s.observer
	if err := l.open(drainChannel); err != nil {
		return err
	}
	n := l.c.at()
	l.c.send(drainChannel, &wire.BasicConsume{Queue: queue, NoAck: true})
	err := l.c.await(n, drainTimeout, func(e event) bool {
		m, ok := e.method.(*wire.BasicDeliver)
		if ok {
			o.add(stream, "%s", s.message(m.Redelivered, m.Exchange, m.RoutingKey, e))
			count--
		}
		return count <= 0 && e.channel == drainChannel
	})
	if errors.Is(err, errSlow) {
		o.add(stream, "%d cannot be had", count)
	} else if err != nil {
		return fmt.Errorf("%s: reading %s: %w", s.name, queue, err)
	}
	return l.ask(drainChannel, &wire.ChannelClose{ReplyCode: wire.ReplySuccess})
}

// clean takes away all that the script has left.
func (s *side) clean() error {
	for at, l := range s.links {
		if l != nil {
			l.c.nc.Close()
			l.c.awaitEnd(answerTimeout)
			s.links[at] = nil
		}
	}
	for at := range s.links {
		if err := s.awaitExclusive(at); err != nil {
			return err
		}
	}
	const number = probeChannel - 1
	if !s.observer.probes[number] {
		if err := s.observer.open(number); err != nil {
			return err
		}
		s.observer.probes[number] = true
	}
	for _, m := range s.bindings {
		if err := s.observer.ask(number, &wire.ExchangeUnbind{Destination: m.Destination, Source: m.Source, RoutingKey: m.RoutingKey, Arguments: m.Arguments}); err != nil {
			return fmt.Errorf("%s: unbinding %s: %w", s.name, m.Destination, err)
		}
	}
	for _, q := range s.queues {
		if err := s.observer.ask(number, &wire.QueueDelete{Queue: q.name}); err != nil {
			return fmt.Errorf("%s: deleting %s: %w", s.name, q.name, err)
		}
	}
	for _, name := range s.exchanges {
		if name == "" || strings.HasPrefix(name, "amq.") {
			continue
		}
		if err := s.observer.ask(number, &wire.ExchangeDelete{Exchange: name}); err != nil {
			return fmt.Errorf("%s: deleting %s: %w", s.name, name, err)
		}
	}
	s.queues, s.exchanges, s.bindings, s.made, s.quorum = nil, nil, nil, nil, false
	s.observer.c.forget()
	return nil
}
