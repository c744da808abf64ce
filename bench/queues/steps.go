package main

import (
	"context"
	"fmt"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
	"golang.org/x/sync/errgroup"
)

// Goals, for 10 M messages, and for any number of bytes behind one message.
const (
	goalMemory = 150e6           // bytes, with the backlog
	goalStart  = 5 * time.Second // from exec to serving
	goalFiles  = 3               // data files
)

// publishers is how many publish at the same time.
const publishers = 4

func backlog(ctx context.Context, opt options, report func(string, ...any)) (bool, error) {
	return withBroker(ctx, opt, func(b *broker) (bool, error) {
		text, _, err := b.memory(ctx)
		if err != nil {
			return false, err
		}
		report("idle: %s", text)
		if err := fill(ctx, b, opt, report); err != nil {
			return false, err
		}
		if err := pause(ctx, opt.settle); err != nil {
			return false, err
		}
		text, before, err := b.memory(ctx)
		if err != nil {
			return false, err
		}
		report("with the backlog: %s", text)

		b.Kill()
		took, err := b.start(ctx)
		if err != nil {
			return false, err
		}
		report("kill -9, serving again after %.0f ms", took.Seconds()*1e3)
		if err := pause(ctx, opt.settle); err != nil {
			return false, err
		}
		text, after, err := b.memory(ctx)
		if err != nil {
			return false, err
		}
		report("after the restart: %s", text)
		for _, i := range []int{0, opt.queues / 2, opt.queues - 1} {
			if err := daemon.DropCache(b.cfg.Data()); err != nil {
				report("the page cache stays warm: %v", err)
			}
			took, err := get(b.amqp, queueName(i))
			if err != nil {
				return false, err
			}
			report("first message of %s, from a cold cache: %.1f ms", queueName(i), took.Seconds()*1e3)
		}
		most := max(before, after)
		light, quick := most < goalMemory, took < goalStart
		report("resident memory with %d messages in %d %s queues: %.0f MB, goal %.0f MB %s; serving after %.2f s, goal %.0f s %s",
			opt.messages, opt.queues, opt.kind, float64(most)/1e6, goalMemory/1e6, word(light), took.Seconds(), goalStart.Seconds(), word(quick))
		return light && quick, nil
	})
}

// fill declares the queues and publishes the backlog, round-robin.
func fill(ctx context.Context, b *broker, opt options, report func(string, ...any)) error {
	start := time.Now()
	err := together(publishers, func(part int) error {
		var names []string
		for i := part; i < opt.queues; i += publishers {
			names = append(names, queueName(i))
		}
		return declare(b.amqp, opt.kind, names...)
	})
	if err != nil {
		return err
	}
	text, _, err := b.memory(ctx)
	if err != nil {
		return err
	}
	report("%d empty queues, %.0f/s: %s", opt.queues, float64(opt.queues)/time.Since(start).Seconds(), text)
	start = time.Now()
	body := make([]byte, opt.value)
	err = together(publishers, func(part int) error {
		n := opt.messages / publishers
		if part == 0 {
			n += opt.messages % publishers
		}
		return publish(ctx, b.amqp, n, body, func(i int64) string { return queueName(int((i*publishers + int64(part)) % int64(opt.queues))) })
	})
	if err != nil {
		return err
	}
	if text, _, err = b.memory(ctx); err == nil {
		report("%d messages just written, %.0f/s: %s", opt.messages, float64(opt.messages)/time.Since(start).Seconds(), text)
	}
	return err
}

// headBody is how large the messages are that pass behind the first.
const headBody = 16 << 10

func head(ctx context.Context, opt options, report func(string, ...any)) (bool, error) {
	return withBroker(ctx, opt, func(b *broker) (bool, error) {
		const queue = "head"
		if err := declare(b.amqp, opt.kind, queue); err != nil {
			return false, err
		}
		body := make([]byte, headBody)
		name := func(int64) string { return queue }
		if err := publish(ctx, b.amqp, 1, body, name); err != nil {
			return false, err
		}
		h, err := hold(b.amqp, queue)
		if err != nil {
			return false, err
		}
		defer h.close()
		base, err := b.disk()
		if err != nil {
			return false, err
		}
		report("one message, not acknowledged: disk %.2f GB", float64(base)/1e9)
		start, n := time.Now(), int64(opt.gb*1e9)/headBody
		most, err := pass(ctx, b, queue, n)
		if err != nil {
			return false, err
		}
		report("%.1f GB passed behind it in %.0f s; disk meanwhile at most %.2f GB", opt.gb, time.Since(start).Seconds(), float64(most)/1e9)
		left, err := b.least(ctx, opt.wait, base+opt.fileSize)
		if err != nil {
			return false, err
		}
		if err := h.close(); err != nil { // gives the message back
			return false, err
		}
		if _, err := get(b.amqp, queue); err != nil {
			return false, fmt.Errorf("the message that was held: %w", err)
		}
		files := float64(left) / float64(opt.fileSize)
		report("disk afterwards %.2f GB: %.1f data files with the journal's, goal %d more than the %.1f before %s",
			float64(left)/1e9, files, goalFiles, float64(base)/float64(opt.fileSize), word(left-base <= goalFiles*opt.fileSize))
		return left-base <= goalFiles*opt.fileSize, nil
	})
}

// pass sends n messages through the queue, and returns the most disk space that
// was used meanwhile.
func pass(ctx context.Context, b *broker, queue string, n int64) (most int64, err error) {
	g, ctx := errgroup.WithContext(ctx)
	body := make([]byte, headBody)
	g.Go(func() error {
		return publish(ctx, b.amqp, n, body, func(int64) string { return queue })
	})
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		return consume(ctx, b.amqp, queue, n)
	})
	g.Go(func() error {
		for {
			used, err := b.disk()
			if err != nil {
				return err
			}
			most = max(most, used)
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	err = g.Wait()
	return most, err
}

// least waits, for a while at most, until so much disk space is enough, and
// returns how much is used.
func (b *broker) least(ctx context.Context, atMost time.Duration, enough int64) (int64, error) {
	end := time.Now().Add(atMost)
	for {
		used, err := b.disk()
		if err != nil || used <= enough || time.Now().After(end) {
			return used, err
		}
		if err := pause(ctx, time.Second); err != nil {
			return 0, err
		}
	}
}
