package amqpdiff

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// rest waits until the broker looks the same for as long as the pace says, and
// adds what came and how the queues look to the outcome.
func (s *side) rest(o *Outcome) error {
	settle := s.pace.Classic
	if s.quorum {
		settle = s.pace.Quorum
	}
	var last string
	var since time.Time
	for end := time.Now().Add(restTimeout); ; {
		look, pending, err := s.look(o)
		if err != nil {
			return err
		}
		now := time.Now()
		if look != last {
			last, since = look, now
		} else if pending == 0 && now.Sub(since) >= settle {
			break
		}
		if now.After(end) {
			if pending == 0 {
				return fmt.Errorf("%s does not come to rest: %s", s.name, look)
			}
			o.add("slow", "%d messages are not confirmed", pending)
			break
		}
		if settle > 0 {
			time.Sleep(min(settle/4, 5*time.Millisecond))
		}
	}
	for _, line := range strings.Split(last, "\n")[1:] {
		if line != "" {
			name, counts, _ := strings.Cut(line, " ")
			delete(o.streams, "queue "+name)
			o.add("queue "+name, "%s", counts)
		}
	}
	return nil
}

// look has all that is under way come in, and says how the broker looks.
func (s *side) look(o *Outcome) (look string, pending int, err error) {
	if err := s.barriers(); err != nil {
		return "", 0, err
	}
	if err := s.collect(o); err != nil {
		return "", 0, err
	}
	counts, err := s.count()
	if err != nil {
		return "", 0, err
	}
	came := 0
	for _, lines := range o.streams {
		came += len(lines)
	}
	for _, l := range s.links {
		if l != nil {
			for _, ch := range l.channels {
				pending += ch.pending
			}
		}
	}
	return fmt.Sprintf("%d %d\n%s", came, pending, counts), pending, nil
}

// barriers asks something on all channels, so that what was on its way before
// the answer has come.
func (s *side) barriers() error {
	for _, l := range s.links {
		if l == nil {
			continue
		}
		n := l.c.at()
		left := map[uint16]bool{}
		for number := range l.channels {
			left[number] = l.c.probe(number, &wire.ChannelFlow{Active: true})
			if !left[number] {
				delete(left, number)
			}
		}
		if len(left) == 0 {
			continue
		}
		err := l.c.await(n, answerTimeout, func(e event) bool {
			switch e.method.ID() {
			case wire.IDChannelFlowOk, wire.IDChannelClose:
				delete(left, e.channel)
			case wire.IDConnectionClose:
				return true
			}
			return len(left) == 0
		})
		if errors.Is(err, errSlow) {
			return fmt.Errorf("%s: no answer to channel.flow: %w", s.name, err)
		}
	}
	return nil
}

// collect adds what came to the outcome, and takes note of channels and
// connections that ended.
func (s *side) collect(o *Outcome) error {
	for at, l := range s.links {
		if l == nil {
			continue
		}
		events := l.c.since(l.seen)
		l.seen += len(events)
		for _, e := range events {
			if e.channel < probeChannel && e.channel != 0 && l.channels[e.channel] == nil {
				if e.method.ID() == wire.IDChannelClose || e.method.ID() == wire.IDChannelCloseOk {
					continue
				}
				return fmt.Errorf("%s sends %v on channel %d, which is closed", s.name, e.method.ID(), e.channel)
			}
			s.record(o, l, at, e)
			if e.method.ID() == wire.IDChannelClose {
				delete(l.channels, e.channel)
				delete(l.probes, e.channel)
			}
			s.note(at, e)
		}
		if err := s.bury(o, at, events); err != nil {
			return err
		}
	}
	return nil
}

// note remembers a queue that was declared.
func (s *side) note(at int, e event) {
	m, ok := e.method.(*wire.QueueDeclareOk)
	if !ok || e.channel >= probeChannel {
		return
	}
	if i := s.knows(m.Queue); i >= 0 {
		s.queues[i].owner = at
		return
	}
	s.queues = append(s.queues, knownQueue{name: m.Queue, owner: at})
}

func (s *side) knows(name string) int {
	return slices.IndexFunc(s.queues, func(q knownQueue) bool { return q.name == name })
}

// bury takes leave of a connection that the broker has ended, and waits until
// what was exclusive to it is gone.
func (s *side) bury(o *Outcome, at int, events []event) error {
	l := s.links[at]
	closed := slices.ContainsFunc(events, func(e event) bool { return e.method.ID().Class() == wire.ClassConnection })
	l.c.mu.Lock()
	ended := l.c.ended
	l.c.mu.Unlock()
	if !closed && ended == nil {
		return nil
	}
	if !l.c.awaitEnd(answerTimeout) {
		o.add("slow", "connection %c: the socket stays open", 'A'+at)
		l.c.nc.Close()
	}
	if late := l.c.since(l.seen); len(late) > 0 {
		l.seen += len(late)
		for _, e := range late {
			if l.channels[e.channel] != nil || e.channel == 0 {
				s.record(o, l, at, e)
			}
		}
	}
	if !closed {
		o.add(fmt.Sprintf("%c ended", 'A'+at), "without a word")
	}
	s.links[at] = nil
	return s.awaitExclusive(at)
}

// awaitExclusive waits until nothing is exclusive to a connection that is gone.
func (s *side) awaitExclusive(at int) error {
	for i, q := range s.queues {
		if q.owner != at {
			continue
		}
		s.queues[i].owner = -1
		for end := time.Now().Add(answerTimeout); ; time.Sleep(time.Millisecond) {
			p, err := s.probe(s.observer, []int{i})
			if err != nil {
				return err
			}
			if p[0].code != wire.ResourceLocked {
				break
			}
			handed, err := s.handOver(i)
			if err != nil {
				return err
			}
			if handed {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("%s: %s stays locked", s.name, q.name)
			}
		}
	}
	return nil
}

// handOver finds out whether a queue is exclusive to another connection, which
// declared it anew without waiting for an answer.
func (s *side) handOver(i int) (bool, error) {
	for at, l := range s.links {
		if l == nil {
			continue
		}
		p, err := s.probe(l, []int{i})
		if err != nil {
			return false, err
		}
		if p[0].ok != nil {
			s.queues[i].owner = at
			return true, nil
		}
	}
	return false, nil
}

// count says what is in each known queue. Queues that are exclusive can be seen
// on their own connection only.
func (s *side) count() (string, error) {
	all := make([]int, len(s.queues))
	for i := range all {
		all[i] = i
	}
	seen, err := s.probe(s.observer, all)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, p := range seen {
		q := &s.queues[i]
		if p.code == wire.ResourceLocked && q.owner >= 0 && s.links[q.owner] != nil {
			own, err := s.probe(s.links[q.owner], []int{i})
			if err != nil {
				return "", err
			}
			p = own[0]
		}
		if p.ok != nil {
			fmt.Fprintf(&b, "%s messages=%d%s\n", s.label(q.name), p.ok.MessageCount, s.consumers(p.ok))
		} else {
			fmt.Fprintf(&b, "%s %d\n", s.label(q.name), p.code)
		}
	}
	return b.String(), nil
}

// consumers is the number of consumers and, in scripts with quorum queues, of who
// else holds messages: see quorum-consumers.
func (s *side) consumers(ok *wire.QueueDeclareOk) string {
	if s.quorum {
		holding := 0
		for _, l := range s.links {
			if l != nil {
				for _, ch := range l.channels {
					holding += ch.holding(ok.Queue)
				}
			}
		}
		return fmt.Sprintf(" consumers=%d holding=%d", ok.ConsumerCount, holding)
	}
	return fmt.Sprintf(" consumers=%d", ok.ConsumerCount)
}

// probed is what a connection is told of a queue: its counts, or the code of an
// error.
type probed struct {
	ok   *wire.QueueDeclareOk
	code wire.ReplyCode
}

// probe asks a connection for queues, all at once.
func (s *side) probe(l *link, queues []int) ([]probed, error) {
	for _, i := range queues {
		number := probeChannel + uint16(i)
		if l.probes[number] {
			continue
		}
		if err := l.open(number); err != nil {
			return nil, fmt.Errorf("%s: a channel to look at %s: %w", s.name, s.queues[i].name, err)
		}
		l.probes[number] = true
	}
	n := l.c.at()
	for _, i := range queues {
		l.c.send(probeChannel+uint16(i), &wire.QueueDeclare{Queue: s.queues[i].name, Passive: true})
	}
	out := make([]probed, len(queues))
	left := len(queues)
	if left == 0 {
		return out, nil
	}
	err := l.c.await(n, answerTimeout, func(e event) bool {
		at := slices.Index(queues, int(e.channel)-probeChannel)
		if at < 0 {
			return false
		}
		switch m := e.method.(type) {
		case *wire.QueueDeclareOk:
			out[at].ok = m
			left--
		case *wire.ChannelClose:
			out[at].code = m.ReplyCode
			delete(l.probes, e.channel)
			left--
		}
		return left == 0
	})
	if err != nil {
		return nil, fmt.Errorf("%s: looking at queues: %w", s.name, err)
	}
	return out, nil
}
