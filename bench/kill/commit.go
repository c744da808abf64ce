package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commits are the committed offsets of one group, as its clients know them.
type commits struct {
	group      string
	partitions []*register
	acked      atomic.Int64
}

func newCommits(group string, partitions int) *commits {
	c := &commits{group: group}
	for range partitions {
		c.partitions = append(c.partitions, newRegister())
	}
	return c
}

// ask notes commits that are about to be sent, by partition.
func (c *commits) ask(offsets map[int32]int64) map[int32]*write {
	asked := map[int32]*write{}
	for p, o := range offsets {
		asked[p] = c.partitions[p].ask(o)
	}
	return asked
}

// end notes the answers: acknowledged are the partitions without an error.
func (c *commits) end(asked map[int32]*write, acknowledged func(int32) bool) {
	for p, w := range asked {
		ok := acknowledged(p)
		c.partitions[p].end(w, ok)
		if ok {
			c.acked.Add(1)
		}
	}
}

// check fetches the committed offsets and says whether they may be what they
// are. It returns them, without those of partitions that have none.
func (c *commits) check(ctx context.Context, adm *kadm.Client) (map[int32]int64, error) {
	since := make([]uint64, len(c.partitions))
	for p, r := range c.partitions {
		since[p] = r.begin()
	}
	fetched, err := adm.FetchOffsets(ctx, c.group)
	if err == nil {
		err = fetched.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the offsets of group %s: %w", c.group, err)
	}
	offsets := map[int32]int64{}
	for p, r := range c.partitions {
		value := int64(noOffset)
		if o, ok := fetched.Lookup(topicName, int32(p)); ok && o.At >= 0 {
			value = o.At
			offsets[int32(p)] = value
		}
		if err := r.check(since[p], value); err != nil {
			return nil, fmt.Errorf("group %s, partition %d: %w", c.group, p, err)
		}
	}
	return offsets, nil
}

// commitPlainly commits offsets of random partitions, forwards and backwards,
// as a client without a group membership does, until committing is over.
func (t *trial) commitPlainly(committing context.Context, c *commits) error {
	cl, err := newClient(t.cfg.Kafka)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	rng := rand.New(rand.NewPCG(t.opt.seed, 1<<32))
	for sleep(committing, below(rng, 20*time.Millisecond)) {
		offsets := map[int32]int64{}
		for range 1 + rng.IntN(len(c.partitions)) {
			p := int32(rng.IntN(len(c.partitions)))
			offsets[p] = rng.Int64N(t.ledgers[p].end() + 1)
		}
		_ = c.send(t.ctx, adm, offsets) // it is noted, and the next one may get through
	}
	return nil
}

// send commits offsets, by partition.
func (c *commits) send(ctx context.Context, adm *kadm.Client, offsets map[int32]int64) error {
	request := kadm.Offsets{}
	for p, o := range offsets {
		request.AddOffset(topicName, p, o, -1)
	}
	asked := c.ask(offsets)
	answers, err := adm.CommitOffsets(ctx, c.group, request)
	c.end(asked, func(p int32) bool {
		o, ok := answers.Lookup(topicName, p)
		return err == nil && ok && o.Err == nil
	})
	return cmp.Or(err, answers.Error())
}

// member consumes in a group, shows the ledgers what it sees, and commits
// after every poll.
type member struct {
	t    *trial
	c    *commits
	cl   *kgo.Client
	next map[int32]int64 // by partition: the offset that must come; polls and callbacks exclude each other
}

func newMember(t *trial, c *commits) (*member, error) {
	m := &member{t: t, c: c, next: map[int32]int64{}}
	forget := func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
		for _, p := range gone[topicName] {
			delete(m.next, p)
		}
	}
	cl, err := newClient(t.cfg.Kafka,
		kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(topicName), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.HeartbeatInterval(100*time.Millisecond), kgo.SessionTimeout(10*time.Second), kgo.RebalanceTimeout(10*time.Second),
		kgo.OnPartitionsRevoked(forget), kgo.OnPartitionsLost(forget), kgo.OnPartitionsAssigned(forget),
	)
	m.cl = cl
	return m, err
}

// pollRecords bounds a poll, so that there are many commits.
const pollRecords = 2000

// run polls and commits until consuming is over.
func (m *member) run(consuming context.Context) error {
	defer m.cl.CloseAllowingRebalance()
	for consuming.Err() == nil {
		fetches := m.cl.PollRecords(consuming, pollRecords)
		offsets := map[int32]int64{}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if err := m.see(r); err != nil {
				return err
			}
			offsets[r.Partition] = r.Offset + 1
		}
		if len(offsets) > 0 {
			m.commit(offsets)
		}
		m.cl.AllowRebalance()
	}
	return nil
}

// see checks that a record is the next one and tells the ledger.
func (m *member) see(r *kgo.Record) error {
	if next, ok := m.next[r.Partition]; ok && r.Offset != next {
		return fmt.Errorf("partition %d: a consumer was given offset %d after %d", r.Partition, r.Offset, next-1)
	}
	m.next[r.Partition] = r.Offset + 1
	id, err := decodeValue(r.Value, r.Partition)
	if err != nil {
		return fmt.Errorf("partition %d: a consumer was given, at offset %d, what is not right: %w", r.Partition, r.Offset, err)
	}
	return m.t.ledgers[r.Partition].consume(r.Offset, id)
}

// commit waits for the answer. An error is no failure: it comes with every
// rebalance.
func (m *member) commit(offsets map[int32]int64) {
	request := map[int32]kgo.EpochOffset{}
	for p, o := range offsets {
		request[p] = kgo.EpochOffset{Epoch: -1, Offset: o}
	}
	asked := m.c.ask(offsets)
	done := func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		acked := map[int32]bool{}
		if err == nil {
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					acked[p.Partition] = kerr.ErrorForCode(p.ErrorCode) == nil
				}
			}
		}
		m.c.end(asked, func(p int32) bool { return acked[p] })
	}
	m.cl.CommitOffsetsSync(m.t.ctx, map[string]map[int32]kgo.EpochOffset{topicName: request}, done)
}
