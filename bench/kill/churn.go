package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// churn creates topics, fills and deletes them, one after the other. It leaves
// dead bytes behind, so that files are rewritten and given back while the
// broker is killed, and checks that creations and deletions last.
type churn struct {
	t *trial

	mu      sync.Mutex
	created map[string]bool // acknowledged, and no deletion was asked for
	deleted []string        // acknowledged, the last few
	done    int             // topics created and deleted
}

func newChurn(t *trial) *churn { return &churn{t: t, created: map[string]bool{}} }

const (
	churnPartitions = 2
	churnRecords    = 60
	churnBytes      = 16 << 10
	churnKept       = 100 // deleted topics that are looked for
)

// run goes on until churning is over.
func (c *churn) run(churning context.Context) error {
	t := c.t
	cl, err := newClient(t.cfg.Kafka, kgo.UnknownTopicRetries(-1), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer cl.Close()
	// Records under way ignore a context; only this lets go of them.
	defer context.AfterFunc(t.ctx, cl.Close)()
	adm := kadm.NewClient(cl)
	rng := rand.New(rand.NewPCG(t.opt.seed, 1<<33))
	for i := 0; sleep(churning, below(rng, 100*time.Millisecond)); i++ {
		if err := c.turn(t.ctx, adm, cl, fmt.Sprintf("churn-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// turn creates, fills and deletes one topic.
func (c *churn) turn(ctx context.Context, adm *kadm.Client, cl *kgo.Client, name string) error {
	// Where the broker was killed before it could answer, the client asks
	// again and is told that it was done.
	err := persist(ctx, func() error { _, err := adm.CreateTopic(ctx, churnPartitions, 1, nil, name); return err })
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	c.note(func() { c.created[name] = true })
	var records []*kgo.Record
	for range churnRecords {
		records = append(records, &kgo.Record{Topic: name, Value: pattern[:churnBytes]})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("fill topic %s: %w", name, err)
	}
	cl.PurgeTopicsFromProducing(name)
	c.note(func() { delete(c.created, name) })
	err = persist(ctx, func() error { _, err := adm.DeleteTopic(ctx, name); return err })
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	c.note(func() {
		c.deleted = append(c.deleted, name)
		c.deleted = c.deleted[max(0, len(c.deleted)-churnKept):]
		c.done++
	})
	return nil
}

func (c *churn) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// check says whether the topics that must be there are, and those that must
// not be are not.
func (c *churn) check(ctx context.Context, adm *kadm.Client) error {
	var must, mustNot []string
	c.note(func() {
		for name := range c.created {
			must = append(must, name)
		}
		mustNot = append(mustNot, c.deleted...)
	})
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range must {
		if !topics.Has(name) && c.created[name] {
			return fmt.Errorf("topic %s was created and is lost", name)
		}
	}
	for _, name := range mustNot {
		if topics.Has(name) {
			return fmt.Errorf("topic %s was deleted and is back", name)
		}
	}
	return nil
}
