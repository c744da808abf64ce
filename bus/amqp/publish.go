package amqp

import (
	"context"
	"errors"
	"fmt"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/bus"
)

// window is how many messages of a batch are under way at most.
const window = 256

// Errors of single messages.
var (
	// ErrNacked says that the broker refused a message, by a nack.
	ErrNacked = errors.New("amqp: the broker refused the message (nack)")
	// ErrUnroutable says that no queue takes a message.
	ErrUnroutable = errors.New("amqp: the message fits no queue (returned)")
	// ErrEarlier says that a message was not sent because one before it with the same
	// topic and key failed.
	ErrEarlier = errors.New("amqp: an earlier message of this key was not published")
)

// A batch is a call of Publish.
type batch struct {
	b      *Bus
	ctx    context.Context
	msgs   []bus.Message
	errs   []error
	sent   []bool // has its answer
	failed map[identity]bool
	alone  bool // one message at a time, so that one that the broker refuses fails alone
	first  int  // those before it have their answers
}

// An identity is what tells a message that is returned from others that are under
// way. Of those with the same key one is under way at a time.
type identity struct{ topic, key, id string }

func (b *Bus) publish(ctx context.Context, msgs []bus.Message) error {
	t := &batch{b: b, ctx: ctx, msgs: msgs, errs: make([]error, len(msgs)), sent: make([]bool, len(msgs)), failed: map[identity]bool{}}
	for t.wave() {
	}
	for _, err := range t.errs {
		if err != nil {
			return &bus.PublishError{Errs: t.errs}
		}
	}
	return nil
}

// keyOf is the identity of a message's key, or of the message if it has none.
func (t *batch) keyOf(i int) identity {
	if m := &t.msgs[i]; m.Key != "" {
		return identity{topic: m.Topic, key: m.Key}
	}
	return identity{topic: t.msgs[i].Topic, id: t.msgs[i].ID}
}

// settle gives a message its answer.
func (t *batch) settle(i int, err error) {
	t.sent[i], t.errs[i] = true, err
	if err != nil && t.msgs[i].Key != "" {
		t.failed[t.keyOf(i)] = true
	}
}

// next are the messages that can be under way together: of each key the first that
// has no answer.
func (t *batch) next() (out []int) {
	limit, seen := window, map[identity]bool{}
	if t.alone {
		limit = 1
	}
	for t.first < len(t.msgs) && t.sent[t.first] {
		t.first++
	}
	for i := t.first; i < len(t.msgs) && len(out) < limit; i++ {
		if t.sent[i] {
			continue
		}
		key := t.keyOf(i)
		if t.failed[key] {
			t.settle(i, ErrEarlier)
			continue
		}
		if t.msgs[i].Key == "" || !seen[key] {
			out = append(out, i)
		}
		seen[key] = true
	}
	return out
}

// wave sends what can be under way together and waits for its answers. It returns
// false when each message has one.
func (t *batch) wave() bool {
	some := t.next()
	if len(some) == 0 {
		return false
	}
	l, ch, err := t.b.open(t.ctx)
	if t.ctx.Err() != nil { // before anything is written: the end of ctx would cut the connection
		if err == nil {
			l.release(ch)
		}
		err = t.ctx.Err()
	}
	if err != nil {
		for i := range t.msgs {
			if !t.sent[i] {
				t.settle(i, err)
			}
		}
		return false
	}
	w := &wave{batch: t, link: l, ch: ch, confirms: make([]*amqp091.DeferredConfirmation, len(some)), index: some}
	// A write may wait for a broker that takes nothing; the end of ctx ends it.
	stop := context.AfterFunc(t.ctx, l.cut)
	w.write()
	stop()
	w.wait()
	return true
}

// A wave is some messages of a batch, on a channel.
type wave struct {
	*batch
	link     *link
	ch       *channel
	index    []int
	confirms []*amqp091.DeferredConfirmation // nil for what was not written
}

// write publishes the messages. Those that cannot be written have their answers.
func (w *wave) write() {
	for n, i := range w.index {
		m := &w.msgs[i]
		p, err := toPublishing(m)
		if err == nil {
			err = w.link.declareOnce(w.ctx, m.Topic)
		}
		if err == nil {
			err = p.Headers.Validate()
		}
		if err != nil {
			w.settle(i, err)
			continue
		}
		if w.confirms[n], err = w.ch.PublishWithDeferredConfirmWithContext(w.ctx, w.b.cfg.exchange, m.Topic, true, false, p); err != nil {
			return // of the connection or the channel
		}
	}
}

// wait waits for the confirms and gives the messages their answers.
func (w *wave) wait() {
	var ended error
	for n, i := range w.index {
		if w.sent[i] || w.confirms[n] == nil || ended != nil {
			continue
		}
		if _, err := w.confirms[n].WaitContext(w.ctx); err != nil {
			ended = err
		}
	}
	returned := w.returned()
	// Whether the channel is at its end is asked after the last confirm: if it was then
	// open, a negative answer is the broker's.
	if ended == nil && w.ch.IsClosed() {
		ended = w.whyClosed()
	}
	again := ended != nil && w.mayGoOn(ended)
	for n, i := range w.index {
		switch {
		case w.sent[i]:
		case returned[w.identityOf(i)] != nil:
			w.link.forget(w.msgs[i].Topic)
			w.settle(i, returned[w.identityOf(i)])
		case w.confirms[n] != nil && w.confirms[n].Acked():
			w.settle(i, nil)
		case again: // once more, alone
		case ended != nil:
			w.settle(i, ended)
		default:
			w.settle(i, ErrNacked)
		}
	}
	if ended != nil {
		go w.ch.Close() // what is under way on it concerns nobody any more
		return
	}
	w.link.release(w.ch)
}

// identityOf is the identity of a message.
func (t *batch) identityOf(i int) identity {
	return identity{t.msgs[i].Topic, t.msgs[i].Key, t.msgs[i].ID}
}

// returned are the messages that were returned. The broker returns a message
// before it confirms it. If several without a key have the same id, none of them
// counts as routed.
func (w *wave) returned() map[identity]error {
	out := map[identity]error{}
	for {
		select {
		case r, ok := <-w.ch.returns:
			if !ok {
				return out
			}
			id := text(r.Headers[hdrID])
			out[identity{r.RoutingKey, text(r.Headers[hdrKey]), id}] = fmt.Errorf("%w: %d %s", ErrUnroutable, r.ReplyCode, r.ReplyText)
		default:
			return out
		}
	}
}

// whyClosed is why the channel is at its end.
func (w *wave) whyClosed() error {
	select {
	case e := <-w.ch.closed:
		if e != nil {
			return e
		}
	default:
	}
	return amqp091.ErrClosed
}

// mayGoOn says whether what has no answer can be sent again after the broker has
// closed the channel or the connection over one of several messages: one at a time
// then, so that only that one fails.
func (t *batch) mayGoOn(err error) bool {
	var e *amqp091.Error
	if !errors.As(err, &e) || !e.Server || e.Code == amqp091.ConnectionForced || t.alone {
		return false
	}
	t.alone = true
	return true
}

// open is a confirm channel on the publishing connection, which is made if there
// is none.
func (b *Bus) open(ctx context.Context) (*link, *channel, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.connectTimeout)
	defer cancel()
	var last error
	for range 3 { // the connection may break just now
		l, err := b.connected(ctx)
		if err != nil {
			return nil, nil, err
		}
		ch, err := l.confirming()
		if err == nil {
			return l, ch, nil
		}
		if last = err; l.alive() {
			break
		}
	}
	return nil, nil, last
}

// connected is the publishing connection.
func (b *Bus) connected(ctx context.Context) (*link, error) {
	select {
	case <-b.turn:
		defer func() { b.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.mu.Lock()
	l := b.link
	b.mu.Unlock()
	if l != nil && l.alive() {
		return l, nil
	}
	if l != nil {
		l.cut()
	}
	l, err := dialUntil(ctx, &b.cfg)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.link = l
	b.mu.Unlock()
	return l, nil
}
