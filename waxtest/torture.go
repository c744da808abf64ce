package waxtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// A Consumer is what is put to the test.
type Consumer struct {
	// Name is the consumer's name in its effects.
	Name string
	// Process handles one delivery, and returns nil if the message may be
	// acknowledged. It is called by several goroutines. An Inbox's Process is one.
	Process func(ctx context.Context, d *bus.Delivery) error
	// Effects are all that it has done so far, in the order of the commits.
	Effects func(ctx context.Context) ([]Effect, error)
}

// Messages are n messages about some keys, in an order in which each key's versions,
// from 1 on, are, and the causes that they stand for. They look as the SDK's outbox
// makes them if sequenced, and otherwise as any producer's, with only an id. body
// makes what a message holds; nil leaves it empty.
func Messages(n, keys int, topic, eventType string, sequenced bool, body func(Cause) []byte) ([]bus.Message, []Cause) {
	var msgs []bus.Message
	var causes []Cause
	for i := range n {
		c := Cause{ID: fmt.Sprintf("event-%d", i), Key: fmt.Sprintf("key-%d", i%keys), Version: int64(i/keys + 1)}
		m := bus.Message{Topic: topic, Key: c.Key, ID: c.ID, Source: "waxtest", Type: eventType, Body: []byte{}}
		if sequenced {
			m.SetHeader(bus.HeaderSequence, []byte("waxtest:"+strconv.Itoa(i+1)))
		}
		if body != nil {
			m.Body = body(c)
		}
		msgs, causes = append(msgs, m), append(causes, c)
	}
	return msgs, causes
}

// Duplicates delivers each message up to three times in a row, and now and then
// the last few once more, as brokers do after a crash or a rebalance. It checks that
// each effect happened once, in order; causes are what the messages stand for. The
// same seed makes the same deliveries.
func Duplicates(ctx context.Context, c Consumer, msgs []bus.Message, causes []Cause, seed uint64) ([]Violation, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	again := 0
	for i := range msgs {
		for n := range 1 + r.IntN(3) {
			again += min(n, 1)
			if err := deliver(ctx, c, &msgs[i], n > 0); err != nil {
				return nil, err
			}
		}
		if r.IntN(5) > 0 {
			continue
		}
		for j := max(0, i-r.IntN(10)); j <= i; j++ {
			again++
			if err := deliver(ctx, c, &msgs[j], true); err != nil {
				return nil, err
			}
		}
	}
	return judge(ctx, c, causes, Fault{"duplicates", again, len(msgs)})
}

// Reordered delivers the messages with those of different keys interleaved at
// random, and each once more at random later, so that old ones come after newer ones
// of their key that were handled. First deliveries of a key are in order: a bus
// guarantees that.
func Reordered(ctx context.Context, c Consumer, msgs []bus.Message, causes []Cause, seed uint64) ([]Violation, error) {
	r := rand.New(rand.NewPCG(seed, 2))
	lanes := map[string][]int{}
	var keys []string
	for i := range msgs {
		if k := msgs[i].Key; lanes[k] == nil {
			keys = append(keys, k)
		}
		lanes[msgs[i].Key] = append(lanes[msgs[i].Key], i)
	}
	var late []int // delivered once, and to come again
	old := 0
	for len(keys) > 0 || len(late) > 0 {
		if len(keys) == 0 || len(late) > 0 && r.IntN(3) == 0 {
			at := r.IntN(len(late))
			if err := deliver(ctx, c, &msgs[late[at]], true); err != nil {
				return nil, err
			}
			late = slices.Delete(late, at, at+1)
			old++
			continue
		}
		at := r.IntN(len(keys))
		k := keys[at]
		i := lanes[k][0]
		if err := deliver(ctx, c, &msgs[i], false); err != nil {
			return nil, err
		}
		late = append(late, i)
		if lanes[k] = lanes[k][1:]; len(lanes[k]) == 0 {
			keys = slices.Delete(keys, at, at+1)
		}
	}
	return judge(ctx, c, causes, Fault{"old messages after newer ones", old, len(msgs)})
}

// Zombies delivers each message to several goroutines at once, as when a process
// that was thought dead goes on beside its successor.
func Zombies(ctx context.Context, c Consumer, msgs []bus.Message, causes []Cause) ([]Violation, error) {
	const zombies = 4
	for i := range msgs {
		var wg sync.WaitGroup
		errs := make([]error, zombies)
		for z := range zombies {
			wg.Go(func() { errs[z] = deliver(ctx, c, &msgs[i], z > 0) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return nil, err
			}
		}
	}
	return judge(ctx, c, causes, Fault{"zombies", len(msgs), zombies})
}

// Crashes delivers messages while each step that the SDK takes in the database fails
// once, before it happens and after; f are the faults of the database that the
// consumer works on (FailingDB). After a failure the message comes again, as it
// would after a crash. It needs a few dozen messages and takes more as steps need.
func Crashes(ctx context.Context, c Consumer, f *Faults, msgs []bus.Message, causes []Cause) ([]Violation, error) {
	step, after := 1, false
	before, steps := f.Fired(), 0
	for i := range msgs {
		f.FailAt(step, after)
		had := f.Fired()
		if err := deliver(ctx, c, &msgs[i], false); err != nil {
			return nil, err
		}
		switch {
		case f.Fired() == had && step == 1: // not even one step
			return []Violation{{"faults fired", "the consumer takes no step in the database of these faults"}}, nil
		case f.Fired() == had: // past the last step
			steps = max(steps, step-1)
			step, after = 1, !after
		default:
			step++
		}
	}
	f.FailAt(0, false)
	faults := []Fault{{"steps that failed", f.Fired() - before, len(msgs)}}
	if steps == 0 {
		faults = append(faults, Fault{"a failure of the last step: more messages are needed", 0, 0})
	}
	return judge(ctx, c, causes, faults...)
}

// attempts is how often a message that fails comes again before the test gives up.
const attempts = 50

// deliver delivers a message until it is acknowledged.
func deliver(ctx context.Context, c Consumer, m *bus.Message, again bool) (err error) {
	for n := range attempts {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d := &bus.Delivery{Message: *m, Redelivered: again || n > 0, Attempt: n + 1}
		if err = c.Process(ctx, d); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(n) * time.Millisecond):
		}
	}
	return fmt.Errorf("waxtest: %s fails %d times: %w", m.ID, attempts, err)
}

// judge is what the checks say of a consumer's effects.
func judge(ctx context.Context, c Consumer, causes []Cause, faults ...Fault) ([]Violation, error) {
	all, err := c.Effects(ctx)
	if err != nil {
		return nil, err
	}
	var mine []Effect
	for _, e := range all {
		if e.Consumer == c.Name {
			mine = append(mine, e)
		}
	}
	found := EachEffectOnce(causes, mine, []string{c.Name}, nil)
	found = append(found, NoEffectWithoutCause(causes, mine)...)
	found = append(found, OrderPerKey(mine)...)
	return append(found, FaultsFired(faults)...), nil
}
