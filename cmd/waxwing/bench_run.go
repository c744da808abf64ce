package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// benchRun is one run of `waxwing bench kafka`.
type benchRun struct {
	flags    *benchKafka
	progress io.Writer
	base     time.Time // stamps count from here
	id       uint64    // told in every record, so that others' are not counted

	admin   *session
	topics  []string
	created bool // the topics are ours to delete
	starts  kadm.ListedOffsets

	producers   []*benchProducer
	live, after *benchPass // nil unless --consume asks for them
	wire        wireStats
	began, done time.Duration // the time of producing, from base
	interrupted bool          // by a signal, while producing
}

func newBenchRun(flags *benchKafka, progress io.Writer) *benchRun {
	return &benchRun{flags: flags, progress: progress, base: time.Now(), id: rand.Uint64()}
}

// now is the time since base, in the clock that all stamps share.
func (r *benchRun) now() time.Duration { return time.Since(r.base) }

// openTopics creates the topics, or takes the existing one, and notes where
// their logs end.
func (r *benchRun) openTopics(ctx context.Context) error {
	var err error
	if r.admin, err = r.flags.conn.open(ctx); err != nil {
		return err
	}
	name := r.flags.topic
	if name == "" {
		name = fmt.Sprintf("waxwing-bench-%08x", uint32(r.id))
	}
	r.topics = []string{name}
	if r.flags.topics > 1 {
		r.topics = nil
		for i := range r.flags.topics {
			r.topics = append(r.topics, fmt.Sprintf("%s-%d", name, i))
		}
	}
	if err := r.createTopics(ctx); err != nil {
		r.admin.close()
		return r.admin.explain(ctx, err)
	}
	return nil
}

func (r *benchRun) createTopics(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, topicCreationLimit)
	defer cancel()
	existing, err := r.admin.adm.ListTopics(limited, r.topics...)
	if err != nil {
		return err
	}
	if existing.Error() != nil || len(existing) == 0 {
		configs := map[string]*string{}
		if need := int64(r.flags.batchBytes) + 1024; need > 1<<20 {
			configs["max.message.bytes"] = kadm.StringPtr(fmt.Sprint(need))
		}
		for name, value := range r.flags.configs {
			configs[name] = &value
		}
		answers, err := r.admin.adm.CreateTopics(limited, r.flags.partitions, r.flags.replication, configs, r.topics...)
		if err != nil {
			return err
		}
		for _, topic := range r.topics {
			if err := topicError(topic, answers[topic].Err, answers[topic].ErrMessage); err != nil {
				return err
			}
		}
		r.created = true
	}
	return r.waitForLeaders(limited)
}

// topicCreationLimit bounds the making of the topics; many thousand partitions
// take a cluster a while.
const topicCreationLimit = 2 * time.Minute

// waitForLeaders returns when every partition can be written, and notes the
// offsets that the run begins at.
func (r *benchRun) waitForLeaders(ctx context.Context) error {
	for {
		starts, err := r.admin.adm.ListEndOffsets(ctx, r.topics...)
		if err == nil && starts.Error() == nil && r.complete(starts) {
			r.starts = starts
			return nil
		}
		if err == nil {
			err = starts.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the topics are not ready: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// complete reports whether every topic is there with all its partitions. An
// existing topic has as many as it has.
func (r *benchRun) complete(listed kadm.ListedOffsets) bool {
	for _, topic := range r.topics {
		if n := len(listed[topic]); n == 0 || r.created && n < int(r.flags.partitions) {
			return false
		}
	}
	return true
}

// closeTopics deletes what openTopics created, even after a signal.
func (r *benchRun) closeTopics(outer context.Context) error {
	defer r.admin.close()
	if !r.created || r.flags.keep {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(outer), topicCreationLimit)
	defer cancel()
	answers, err := r.admin.adm.DeleteTopics(ctx, r.topics...)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return fmt.Errorf("cannot delete the bench's topics: %w", brokerError(err, ""))
	}
	return nil
}

// openProducers connects the producers and sends one record each ahead.
func (r *benchRun) openProducers(ctx context.Context, options []kgo.Opt) error {
	options = append(options, kgo.WithHooks(&r.wire))
	for i := range r.flags.producers {
		s, err := r.flags.conn.open(ctx, options...)
		if err != nil {
			return err
		}
		p := newBenchProducer(r, i, s)
		r.producers = append(r.producers, p)
		if err := p.warmUp(ctx); err != nil {
			return s.explain(ctx, err)
		}
	}
	return nil
}

func (r *benchRun) closeProducers() {
	for _, p := range r.producers {
		p.s.close()
	}
}

// acked is how many records have been acknowledged, and failed how many
// refused, by all producers so far.
func (r *benchRun) acked() (acked, failed int64) {
	for _, p := range r.producers {
		acked += p.acked.Load()
		failed += p.failed.Load()
	}
	return acked, failed
}

// latency copies the produce latencies of all producers.
func (r *benchRun) latency() *counts {
	c := &counts{}
	for _, p := range r.producers {
		c.add(&p.latency)
	}
	return c
}
