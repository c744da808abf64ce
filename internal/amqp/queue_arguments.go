package amqp

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// queueSpec reads what is declared.
func (c *conn) queueSpec(m *wire.QueueDeclare, generated bool) (queue.Spec, error) {
	s := queue.Spec{
		Name: m.Queue, Durable: m.Durable, Exclusive: c.owner(m.Exclusive), AutoDelete: m.AutoDelete,
		Settings: queue.NoSettings(), Arguments: m.Arguments.Clone().Bytes(),
	}
	_, there := c.vhost.Queue(m.Queue)
	faults := map[string]error{}
	for key, v := range distinct(m.Arguments) {
		if err := c.queueArgument(&s, key, v); err != nil {
			faults[key] = err
		}
	}
	for key := range distinct(m.Arguments) {
		if err := faults[key]; err != nil && !(there && ofAnother(s.Kind, key)) {
			return s, errf(wire.PreconditionFailed, "invalid arg '%s' for queue '%s' in vhost '%s': %v", key, m.Queue, c.vhost.Name(), err)
		}
	}
	slices.SortFunc(s.Compared, func(a, b queue.Argument) int { return strings.Compare(a.Name, b.Name) })
	if _, ok := m.Arguments.Get("x-dead-letter-routing-key"); ok && !s.Settings.HasDeadLetter {
		return s, errf(wire.PreconditionFailed, "invalid arg 'x-dead-letter-routing-key' for queue '%s' in vhost '%s': routing_key_but_no_dlx_defined", m.Queue, c.vhost.Name())
	}
	s.Compared = slices.DeleteFunc(s.Compared, func(a queue.Argument) bool { return ofAnother(s.Kind, a.Name) })
	for key := range distinct(m.Arguments) {
		if ofAnother(s.Kind, key) && !there { // what is there is not judged
			return s, errf(wire.PreconditionFailed, "invalid arg '%s' for queue '%s' in vhost '%s' of this queue type", key, m.Queue, c.vhost.Name())
		}
	}
	if s.Kind == queue.Quorum {
		if err := checkQuorum(&s, m, generated); err != nil {
			return s, errf(wire.PreconditionFailed, "invalid property '%v' for queue '%s' in vhost '%s'", err, m.Queue, c.vhost.Name())
		}
	}
	return s, c.allowDeadLetter(m)
}

// ofStreams stands for a kind of queue that none is here.
const ofStreams queue.Kind = 255

// kindOf are the arguments that only one kind of queue may have. Each kind
// refuses those of the others; what no kind knows is ignored.
var kindOf = map[string]queue.Kind{
	"x-max-priority": queue.Classic, "x-queue-mode": queue.Classic, "x-queue-version": queue.Classic,
	"x-queue-master-locator": queue.Classic,

	"x-delivery-limit": queue.Quorum, "x-dead-letter-strategy": queue.Quorum, "x-quorum-initial-group-size": queue.Quorum,
	"x-max-in-memory-length": queue.Quorum, "x-max-in-memory-bytes": queue.Quorum,

	"x-max-age": ofStreams, "x-stream-max-segment-size-bytes": ofStreams, "x-initial-cluster-size": ofStreams,
}

// ofAnother says whether an argument is of another kind of queue.
func ofAnother(kind queue.Kind, argument string) bool {
	k, special := kindOf[argument]
	return special && k != kind
}

// quorumDeliveryLimit is how often a message of a quorum queue comes back
// before it is dropped or dead-lettered, unless the queue says otherwise; with a
// negative limit there is none.
const quorumDeliveryLimit = 20

// deliveryLimit reads x-delivery-limit as RabbitMQ does: what is no number is
// taken, and is a limit that no message reaches.
func deliveryLimit(v wire.Value) int32 {
	limit := float64(math.MaxInt32)
	if n, ok := v.Int(); ok {
		limit = float64(n)
	} else if f, ok := v.Float(); ok {
		limit = math.Floor(f)
	} else if v.Kind() == wire.KindVoid {
		limit = quorumDeliveryLimit
	}
	return int32(min(max(limit, queue.None), math.MaxInt32))
}

// checkQuorum refuses what quorum queues cannot be (RabbitMQ, "Quorum Queues").
func checkQuorum(s *queue.Spec, m *wire.QueueDeclare, generated bool) error {
	switch {
	case !m.Durable:
		return fmt.Errorf("non-durable")
	case m.Exclusive:
		return fmt.Errorf("exclusive-owner")
	case m.AutoDelete:
		return fmt.Errorf("auto-delete")
	case generated:
		return fmt.Errorf("server-named")
	}
	if _, ok := m.Arguments.Get("x-delivery-limit"); !ok {
		s.Settings.DeliveryLimit = quorumDeliveryLimit
	}
	return nil
}

// queueArgument reads one argument. Those that nobody knows are ignored.
func (c *conn) queueArgument(s *queue.Spec, key string, v wire.Value) error {
	compared := true
	st := &s.Settings
	var n int64
	var err error
	switch key {
	case "x-message-ttl":
		if n, err = wholeNumber(v, 0, expiryMax); err == nil {
			st.TTL = time.Duration(n) * time.Millisecond
		}
	case "x-expires":
		if n, err = wholeNumber(v, 1, expiryMax); err == nil {
			st.Expires = time.Duration(n) * time.Millisecond
		}
	case "x-max-length":
		st.MaxLength, err = wholeNumber(v, 0, anyNumber)
	case "x-max-length-bytes":
		st.MaxBytes, err = wholeNumber(v, 0, anyNumber)
	case "x-max-priority":
		if n, err = wholeNumber(v, 0, 255); err == nil {
			st.MaxPriority = max(uint8(n), 1) // 0 means 1, as in RabbitMQ
		}
	case "x-delivery-limit":
		st.DeliveryLimit = deliveryLimit(v)
	case "x-single-active-consumer":
		var ok bool
		if st.SingleActive, ok = v.Bool(); !ok {
			err = fmt.Errorf("unacceptable_type %s", v.Kind())
		}
	case "x-overflow":
		st.Overflow, err = overflow(v)
	case "x-dead-letter-exchange":
		if _, ok := v.Text(); !ok {
			return fmt.Errorf("unacceptable_type %s", v.Kind())
		}
		st.HasDeadLetter = true
	case "x-dead-letter-routing-key":
		if _, ok := v.Text(); !ok {
			return fmt.Errorf("unacceptable_type %s", v.Kind())
		}
	case "x-dead-letter-strategy":
		err = oneOf(v, "at-most-once", "at-least-once")
	case "x-queue-leader-locator":
		err = oneOf(v, "client-local", "balanced", "random", "least-leaders")
	case "x-queue-mode":
		err = oneOf(v, "default", "lazy")
	case "x-queue-version":
		_, err = wholeNumber(v, 1, 2)
	case "x-quorum-initial-group-size":
		_, err = wholeNumber(v, 1, anyNumber)
	case "x-max-in-memory-length", "x-max-in-memory-bytes":
		_, err = wholeNumber(v, 0, anyNumber)
	case "x-queue-type":
		s.Kind, err = queueKind(v)
		compared = false // the kind itself is
	case "x-message-deduplication":
		if yes, _ := v.Bool(); yes {
			st.DedupWindow = dedupWindow
		}
	default:
		compared = false
	}
	if err == nil && compared {
		s.Compared = append(s.Compared, queue.Argument{Name: key, Value: string(canonical(v))})
	}
	return err
}

// expiryMax is the longest time to live of queues and messages, in
// milliseconds: ten years, as in RabbitMQ.
const expiryMax = 10 * 365 * 24 * 3600 * 1000

// oneOf checks that a text is one of those that are allowed.
func oneOf(v wire.Value, texts ...string) error {
	text, ok := v.Text()
	switch {
	case !ok:
		return fmt.Errorf("unacceptable_type %s", v.Kind())
	case !slices.Contains(texts, text):
		return fmt.Errorf("%q is none of %s", text, strings.Join(texts, ", "))
	}
	return nil
}

// dedupWindow is how many message ids a queue with x-message-deduplication
// remembers.
const dedupWindow = 100_000

func overflow(v wire.Value) (queue.Overflow, error) {
	switch text, _ := v.Text(); text {
	case "drop-head":
		return queue.DropHead, nil
	case "reject-publish":
		return queue.RejectPublish, nil
	case "reject-publish-dlx":
		return queue.RejectPublishDeadLetter, nil
	}
	return 0, fmt.Errorf("invalid_overflow %s", v)
}

func queueKind(v wire.Value) (queue.Kind, error) {
	switch text, _ := v.Text(); text {
	case "classic":
		return queue.Classic, nil
	case "quorum":
		return queue.Quorum, nil
	}
	return 0, fmt.Errorf("unsupported queue type %s", v)
}
