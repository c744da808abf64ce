package amqp

import (
	"slices"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// channel is one of a connection's conversations. The reader owns it, but for
// what stands under the connection's mutex.
type channel struct {
	number  uint16
	id      queue.ChannelID
	closing bool     // channel.close was sent: all but the answer is ignored
	content *content // a publish that has not come whole
	queue   string   // the last one declared: what an empty name means

	confirming bool   // confirm.select
	published  uint64 // messages since then
	tx         *transaction
	prefetch   int  // of consumers to come; 0: no limit
	limited    bool // basic.qos has set a limit for the channel
	consumers  map[string]*consumer
	replies    *consumer // of amq.rabbitmq.reply-to
	replyName  string    // what leads answers to it

	// Under conn.mu.
	gone bool   // nothing may be sent on it any more
	tag  uint64 // the last delivery tag
	byID map[queue.ConsumerID]*consumer
	held unacked
}

// consumer is one consumer of a channel.
type consumer struct {
	id     queue.ConsumerID
	tag    string
	noAck  bool
	quorum bool            // its messages say how often they came back
	stream *streamConsumer // nil: of a queue
	gone   bool            // its queue is; under conn.mu
}

// unacked are the deliveries that the client has not settled, by tag.
type unacked struct {
	list []held // ascending by tag
	n    int    // of these, those that are not settled
}

// held is a delivery.
type held struct {
	tag      uint64
	ref      queue.Ref
	consumer *consumer       // nil: it was got, or is a stream's
	stream   *streamConsumer // of a stream's message; ref means nothing then
	done     bool
}

func (u *unacked) push(h held) {
	u.list = append(u.list, h)
	u.n++
}

// find is the place of the first delivery with at least that tag.
func (u *unacked) find(tag uint64) int {
	i, _ := slices.BinarySearchFunc(u.list, tag, func(h held, tag uint64) int {
		switch {
		case h.tag < tag:
			return -1
		case h.tag > tag:
			return 1
		}
		return 0
	})
	return i
}

// take removes the delivery with the tag, or, if multiple, all up to it (all
// there are if the tag is 0), and appends them to dst. It reports false if
// there is no such tag.
func (u *unacked) take(dst []held, tag uint64, multiple bool) ([]held, bool) {
	if multiple && tag == 0 {
		return u.takeUpTo(dst, len(u.list)), true
	}
	i := u.find(tag)
	if i == len(u.list) || u.list[i].tag != tag || u.list[i].done {
		return dst, false
	}
	if multiple {
		return u.takeUpTo(dst, i+1), true
	}
	dst = append(dst, u.list[i])
	u.list[i].done = true
	u.n--
	u.trim()
	return dst, true
}

func (u *unacked) takeUpTo(dst []held, end int) []held {
	for _, h := range u.list[:end] {
		if !h.done {
			dst = append(dst, h)
			u.n--
		}
	}
	u.list = u.list[end:]
	u.trim()
	return dst
}

// trim drops what is settled at the front.
func (u *unacked) trim() {
	i := 0
	for i < len(u.list) && u.list[i].done {
		i++
	}
	if u.list = u.list[i:]; len(u.list) == 0 {
		u.list = nil
	}
}

// giveBack takes deliveries in that were taken. What take left of them goes, or it
// would be found instead.
func (u *unacked) giveBack(hs []held) {
	u.list = slices.DeleteFunc(u.list, func(h held) bool { return h.done })
	u.list = append(u.list, hs...)
	u.n += len(hs)
	slices.SortFunc(u.list, func(a, b held) int {
		switch {
		case a.tag < b.tag:
			return -1
		case a.tag > b.tag:
			return 1
		}
		return 0
	})
}

// ranges says which messages deliveries are of; those of streams are left out.
func ranges(hs []held) []queue.Range {
	out := make([]queue.Range, 0, 1)
	for _, h := range hs {
		if h.stream != nil {
			continue
		}
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.Queue == h.ref.Queue && last.Level == h.ref.Level && last.To == h.ref.Offset {
				last.To++
				continue
			}
		}
		out = append(out, queue.Range{Queue: h.ref.Queue, Level: h.ref.Level, From: h.ref.Offset, To: h.ref.Offset + 1})
	}
	return out
}

// openChannel opens channel number.
func (c *conn) openChannel(number uint16) {
	ch := &channel{
		number: number, id: c.s.cfg.Broker.NewChannelID(),
		consumers: map[string]*consumer{}, byID: map[queue.ConsumerID]*consumer{},
	}
	c.channels[number] = ch
	c.s.counters.channels.Add(1)
	c.mu.Lock()
	c.byID[ch.id] = ch
	c.mu.Unlock()
}

// closeChannel ends a channel: what it holds goes back to the queues.
func (c *conn) closeChannel(ch *channel) {
	c.mu.Lock()
	gone := ch.gone
	ch.gone = true
	delete(c.byID, ch.id)
	c.mu.Unlock()
	if gone {
		return
	}
	c.s.counters.channels.Add(-1)
	c.dropContent(ch)
	c.forgetReplies(ch)
	for _, k := range ch.consumers {
		k.stream.stop()
	}
	if _, err := c.session.Call(c.ctx, &queue.CloseChannel{Channel: ch.id}); err != nil {
		c.stop(err)
	}
}

// channelClose handles channel.close.
func (c *conn) channelClose(ch *channel) error {
	if err := c.flush(); err != nil {
		return err
	}
	c.closeChannel(ch)
	delete(c.channels, ch.number)
	c.out.method(ch.number, &wire.ChannelCloseOk{})
	return nil
}

// channelFlow handles channel.flow: whether the client wants deliveries.
func (c *conn) channelFlow(ch *channel, m *wire.ChannelFlow) error {
	if !m.Active {
		return errf(wire.NotImplemented, "active=false")
	}
	c.out.method(ch.number, &wire.ChannelFlowOk{Active: true})
	return nil
}
