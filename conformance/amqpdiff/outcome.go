package amqpdiff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// An Outcome is what a step brought, as lines. What comes on one stream is in
// order; streams are independent of each other: each consumer is one, and so
// are the answers of a channel, its returns, its confirms, and the queues.
type Outcome struct {
	streams map[string][]string
}

func (o *Outcome) add(stream, format string, args ...any) {
	if o.streams == nil {
		o.streams = map[string][]string{}
	}
	o.streams[stream] = append(o.streams[stream], fmt.Sprintf(format, args...))
}

// Lines are all lines, stream by stream.
func (o *Outcome) Lines() []string {
	var out []string
	for name, lines := range o.streams {
		for i, line := range lines {
			out = append(out, fmt.Sprintf("%s #%03d %s", name, i, line))
		}
	}
	slices.Sort(out)
	return out
}

// record turns an event into lines, and keeps track of what the channel holds.
func (s *side) record(o *Outcome, l *link, at int, e event) {
	if e.channel >= probeChannel {
		return
	}
	where := fmt.Sprintf("%c/%d", 'A'+at, e.channel)
	ch := l.channels[e.channel]
	switch m := e.method.(type) {
	case *wire.ChannelFlowOk:
		return
	case *wire.BasicDeliver:
		tag := s.label(m.ConsumerTag)
		o.add(where+" consumer "+tag, "%s", s.message(m.Redelivered, m.Exchange, m.RoutingKey, e))
		ch.deliver(o, where, ch.noAck[m.ConsumerTag], held{m.DeliveryTag, tag + " " + identity(e), ch.of[m.ConsumerTag], m.ConsumerTag})
	case *wire.BasicGetOk:
		o.add(where+" answer", "get-ok left=%d %s", m.MessageCount, s.message(m.Redelivered, m.Exchange, m.RoutingKey, e))
		ch.deliver(o, where, ch.getNoAck, held{m.DeliveryTag, "get " + identity(e), ch.getQueue, ""})
	case *wire.BasicReturn:
		o.add(where+" return", "%d %s", m.ReplyCode, s.message(false, m.Exchange, m.RoutingKey, e))
		ch.returned(identity(e))
	case *wire.BasicAck:
		ch.confirm(o, where, m.DeliveryTag, m.Multiple, "confirmed")
	case *wire.BasicNack:
		ch.confirm(o, where, m.DeliveryTag, m.Multiple, "refused")
	case *wire.BasicCancel:
		o.add(where+" cancelled "+s.label(m.ConsumerTag), "")
	case *wire.QueueDeclareOk:
		ch.declared = m.Queue
		o.add(where+" answer", "%v %q messages=%d%s", m.ID(), s.label(m.Queue), m.MessageCount, s.consumers(m))
	case *wire.BasicConsumeOk:
		o.add(where+" answer", "%v %q", m.ID(), s.label(m.ConsumerTag))
	case *wire.BasicCancelOk:
		o.add(where+" answer", "%v %q", m.ID(), s.label(m.ConsumerTag))
	case *wire.ChannelOpenOk:
		return
	default:
		o.add(where+" answer", "%v %s", m.ID(), fields(m))
	}
}

// message is a message that came, all of it.
func (s *side) message(redelivered bool, exchange, key string, e event) string {
	again := ""
	if redelivered {
		again = " again"
	}
	if p := e.properties.Decode(); p.Flags.Has(wire.PropReplyTo) {
		s.label(p.ReplyTo)
	}
	return fmt.Sprintf("%q from %q key %q%s %s", e.body, exchange, s.label(key), again, s.relabel(propertiesText(e.properties)))
}

// identity is what scripts give each message to tell it from all others.
func identity(e event) string {
	id, _ := e.properties.Text(wire.PropMessageID)
	return string(id)
}

// madeUp is how names begin that a broker makes up.
var madeUp = []string{"amq.gen-", "amq.ctag-", "amq.rabbitmq.reply-to."}

// label is a name as it is compared: what the broker made up counts by the
// order of appearance.
func (s *side) label(name string) string {
	if !slices.ContainsFunc(madeUp, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		return name
	}
	i := slices.Index(s.made, name)
	if i < 0 {
		i = len(s.made)
		s.made = append(s.made, name)
	}
	return fmt.Sprintf("@%d", i)
}

// relabel does the same within a text.
func (s *side) relabel(text string) string {
	for i, name := range s.made {
		text = strings.ReplaceAll(text, name, fmt.Sprintf("@%d", i))
	}
	return text
}
