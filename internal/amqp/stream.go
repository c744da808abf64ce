package amqp

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// A stream queue is a topic (x-queue-type: stream): what is published to it are
// records that Kafka clients read, and what they produce its consumers get.
// Declaring one creates the topic, deleting it deletes the topic.

// stream is the stream queue of that name, unless a queue has the name.
func (c *conn) stream(ch *channel, name *string) (broker.Stream, bool) {
	n := *name
	if n == "" {
		n = ch.queue
	}
	if _, ok := c.vhost.Queue(n); ok {
		return broker.Stream{}, false
	}
	s, ok := c.vhost.Stream(n)
	if ok {
		*name = n
	}
	return s, ok
}

func streamReply(s broker.Stream) *queue.DeclareReply {
	b := s.Partition.Bounds()
	return &queue.DeclareReply{Ready: b.HighWatermark - b.Start}
}

// declareStream creates the topic of a stream queue, or finds it.
func (c *conn) declareStream(ch *channel, m *wire.QueueDeclare, generated bool) (*queue.DeclareReply, error) {
	invalid := func(property string) error {
		return errf(wire.PreconditionFailed, "invalid property '%s' for queue '%s' in vhost '%s'", property, m.Queue, c.vhost.Name())
	}
	switch {
	case !m.Durable:
		return nil, invalid("non-durable")
	case m.Exclusive:
		return nil, invalid("exclusive-owner")
	case m.AutoDelete:
		return nil, invalid("auto-delete")
	case generated:
		return nil, invalid("server-named")
	}
	if _, ok := c.vhost.Queue(m.Queue); ok {
		return nil, errf(wire.PreconditionFailed, "inequivalent arg 'x-queue-type' for queue '%s' in vhost '%s': received the value 'stream' of type 'longstr' but current is another", m.Queue, c.vhost.Name())
	}
	if s, ok := c.stream(ch, &m.Queue); ok {
		return streamReply(s), nil
	}
	for key := range distinct(m.Arguments) {
		if ofQueues[key] || ofAnother(ofStreams, key) {
			return nil, errf(wire.PreconditionFailed, "invalid arg '%s' for queue '%s' in vhost '%s' of this queue type", key, m.Queue, c.vhost.Name())
		}
	}
	settings, err := streamSettings(m.Arguments)
	if err != nil {
		return nil, errf(wire.PreconditionFailed, "invalid arg for queue '%s' in vhost '%s': %v", m.Queue, c.vhost.Name(), err)
	}
	if c.vhost.Name() != "/" {
		return nil, errf(wire.PreconditionFailed, "queue '%s' in vhost '%s': stream queues are topics, which are in vhost '/'", m.Queue, c.vhost.Name())
	}
	_, err = c.s.cfg.Broker.CreateTopic(c.ctx, broker.TopicSpec{Name: m.Queue, Partitions: 1, Settings: settings})
	var be *broker.Error
	if errors.As(err, &be) && be.Kind != broker.TopicExists {
		return nil, errf(wire.PreconditionFailed, "queue '%s' in vhost '%s': %v", m.Queue, c.vhost.Name(), err)
	}
	if s, ok := c.stream(ch, &m.Queue); ok {
		return streamReply(s), nil
	}
	return nil, brokerError(err)
}

// ofQueues are the arguments of classic and quorum queues that streams do not have.
var ofQueues = map[string]bool{
	"x-message-ttl": true, "x-expires": true, "x-max-length": true, "x-overflow": true, "x-dead-letter-exchange": true,
	"x-dead-letter-routing-key": true, "x-single-active-consumer": true,
}

// streamSettings are the arguments of a stream as settings of its topic.
func streamSettings(args wire.Table) (map[string]string, error) {
	settings := map[string]string{"retention.ms": "-1"}
	if v, ok := args.Get("x-max-length-bytes"); ok {
		n, err := wholeNumber(v, 0, anyNumber)
		if err != nil {
			return nil, err
		}
		settings["retention.bytes"] = strconv.FormatInt(n, 10)
	}
	if v, ok := args.Get("x-max-age"); ok {
		text, _ := v.Text()
		age, ok := parseAge(text)
		if !ok {
			return nil, errors.New("x-max-age: must be a number and one of Y, M, D, h, m, s")
		}
		settings["retention.ms"] = strconv.FormatInt(age.Milliseconds(), 10)
	}
	return settings, nil
}

// parseAge reads RabbitMQ's notation of an interval: 7D.
func parseAge(s string) (time.Duration, bool) {
	if len(s) < 2 {
		return 0, false
	}
	const day = 24 * time.Hour
	unit, ok := map[byte]time.Duration{
		'Y': 365 * day, 'M': 30 * day, 'D': day, 'h': time.Hour, 'm': time.Minute, 's': time.Second,
	}[s[len(s)-1]]
	n, err := strconv.ParseInt(s[:len(s)-1], 10, 64)
	if !ok || err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// deleteStream deletes the topic of a stream queue.
func (c *conn) deleteStream(ch *channel, s broker.Stream, m *wire.QueueDelete) error {
	if m.IfEmpty {
		return connectionErrf(wire.NotImplemented, "cannot delete stream queue '%s' in vhost '%s' with if-empty", m.Queue, c.vhost.Name())
	}
	if !strings.EqualFold(s.Topic.Name, m.Queue) && len(s.Topic.Partitions) > 1 {
		return errf(wire.AccessRefused, "stream '%s' is a partition of a topic; delete the topic", m.Queue)
	}
	err := c.s.cfg.Broker.DeleteTopic(c.ctx, s.Topic.ID)
	var be *broker.Error
	if err != nil && !(errors.As(err, &be) && be.Kind == broker.UnknownTopic) {
		return brokerError(err)
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.QueueDeleteOk{})
	}
	return nil
}
