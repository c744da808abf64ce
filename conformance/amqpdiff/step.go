package amqpdiff

import (
	"fmt"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// What scripts have to themselves.
const (
	connections  = 3    // the last is the one on which connection errors are provoked
	channels     = 2    // of a connection
	probeChannel = 20   // the first of those on which queues are looked at
	channelMax   = 100  // agreed on
	lastTag      = 9999 // a delivery tag that nobody has
)

// A Step is one thing that a client does. It is done on a channel that is open:
// where the last step closed it, or its connection, it is opened again.
type Step struct {
	Conn    int
	Channel uint16 // 0: the connection itself

	// Method is sent as it is, but for names: a queue or routing key "@N"
	// is the N-th name that the broker made up.
	Method wire.Method
	// Content follows Method.
	Content *Content
	// Settle sets the delivery tag of Method, an ack, nack or reject.
	Settle *Settle
	// Raw is sent instead of Method.
	Raw []byte
	// Unopened is a step on a channel that nobody opened.
	Unopened bool
	// Leave closes the connection's channels in their order, and then the
	// connection.
	Leave bool
}

// Content is what follows a basic.publish.
type Content struct {
	Properties wire.Properties
	Body       []byte
}

// Settle says which delivery a step is about: the At-th, counted round, of those
// that the channel has not settled, the oldest first. With Tag it is that tag.
type Settle struct {
	At  int
	Tag *uint64
}

// String is the step for people.
func (s Step) String() string {
	at := fmt.Sprintf("%c/%d", 'A'+s.Conn, s.Channel)
	switch {
	case s.Leave:
		return at + " leaves"
	case s.Method == nil && s.Raw == nil:
		return "the end"
	case s.Raw != nil:
		return fmt.Sprintf("%s sends the bytes %x", at, s.Raw)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v %s", at, s.Method.ID(), fields(s.Method))
	if s.Unopened {
		b.WriteString(" (channel not opened)")
	}
	if s.Settle != nil && s.Settle.Tag != nil {
		fmt.Fprintf(&b, " tag %d", *s.Settle.Tag)
	} else if s.Settle != nil {
		fmt.Fprintf(&b, " of delivery %d", s.Settle.At)
	}
	if s.Content != nil {
		fmt.Fprintf(&b, " %s %q", propertiesText(s.Content.Properties.Encode()), s.Content.Body)
	}
	return b.String()
}

// answers are the methods that answer a method; none if it has no answer.
func answers(m wire.Method) []wire.ID {
	switch m := m.(type) {
	case *wire.BasicGet:
		return []wire.ID{wire.IDBasicGetOk, wire.IDBasicGetEmpty}
	case *wire.ExchangeUnbind:
		return unless(m.NoWait, wire.IDExchangeUnbindOk)
	case *wire.ExchangeDeclare:
		return unless(m.NoWait, wire.IDExchangeDeclareOk)
	case *wire.ExchangeDelete:
		return unless(m.NoWait, wire.IDExchangeDeleteOk)
	case *wire.ExchangeBind:
		return unless(m.NoWait, wire.IDExchangeBindOk)
	case *wire.QueueDeclare:
		return unless(m.NoWait, wire.IDQueueDeclareOk)
	case *wire.QueueBind:
		return unless(m.NoWait, wire.IDQueueBindOk)
	case *wire.QueuePurge:
		return unless(m.NoWait, wire.IDQueuePurgeOk)
	case *wire.QueueDelete:
		return unless(m.NoWait, wire.IDQueueDeleteOk)
	case *wire.BasicConsume:
		return unless(m.NoWait, wire.IDBasicConsumeOk)
	case *wire.BasicCancel:
		return unless(m.NoWait, wire.IDBasicCancelOk)
	case *wire.ConfirmSelect:
		return unless(m.NoWait, wire.IDConfirmSelectOk)
	case *wire.QueueUnbind, *wire.BasicQos, *wire.BasicRecover, *wire.TxSelect, *wire.TxCommit, *wire.TxRollback,
		*wire.ChannelOpen, *wire.ChannelClose, *wire.ChannelFlow, *wire.AccessRequest:
		return []wire.ID{m.ID() + 1}
	}
	return nil
}

func unless(noWait bool, id wire.ID) []wire.ID {
	if noWait {
		return nil
	}
	return []wire.ID{id}
}
