package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/lane"
)

const (
	pollRecords = 500             // at most this many records are taken over at once
	leaveWithin = 5 * time.Second // the last commit, and leaving the group, take at most this each
	fetchBytes  = 8 << 20         // of one answer of a broker
	// A fetch under way does not hear of partitions that come in the meantime, so it
	// must not wait for long.
	fetchWait = 500 * time.Millisecond
)

// Subscribe is bus.Subscriber's: a member of a consumer group, which begins at the
// earliest record where the group has no position, and sees no records of
// transactions that are open or were aborted. Offsets are committed of what
// is handled, up to the first message of a partition that is not. When a partition
// goes to another member, handlers that work on it see their contexts end, and the
// partition goes when they have returned. It gives up if the broker refuses the
// client or the group's name.
func (b *Bus) Subscribe(ctx context.Context, sub bus.Subscription, h bus.Handler) error {
	if sub.Group == "" || len(sub.Topics) == 0 {
		return errors.New("kafka: a subscription needs a group and topics")
	}
	for nth := 1; ; nth++ {
		err := b.session(ctx, sub, h)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errAckLost) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lane.Backoff(100*time.Millisecond, 5*time.Second, nth)):
		}
	}
}

// errAckLost ends a session as if the process had died with a commit under way:
// its partitions are read again from what is committed.
var errAckLost = errors.New("kafka: a commit was lost")

// A session is one membership of the group.
type session struct {
	cfg    *config
	sub    bus.Subscription
	cl     *kgo.Client
	runner *lane.Runner
	lanes  *lane.Lanes // nil if each partition is a lane
	ctx    context.Context
	end    context.CancelCauseFunc

	mu    sync.Mutex
	parts map[topicPartition]*partition
	held  int64         // bytes of messages in lanes
	room  chan struct{} // holds one if held may have fallen below the limit

	committing chan struct{} // holds one while nobody commits
}

type topicPartition struct {
	topic     string
	partition int32
}

// session runs until ctx ends or it cannot go on.
func (b *Bus) session(ctx context.Context, sub bus.Subscription, h bus.Handler) error {
	s := &session{cfg: &b.cfg, sub: sub, runner: lane.NewRunner(sub, h), parts: map[topicPartition]*partition{},
		room: make(chan struct{}, 1), committing: make(chan struct{}, 1)}
	s.committing <- struct{}{}
	s.ctx, s.end = context.WithCancelCause(ctx)
	defer s.end(nil)
	var err error
	if s.cl, err = kgo.NewClient(b.options(s.options()...)...); err != nil {
		return err
	}
	if !sub.PerPartition {
		s.lanes = lane.NewLanes(s.runner, sub.Lanes)
	}
	var ticking sync.WaitGroup
	ticking.Go(s.commitNowAndThen)
	err = s.poll()
	s.end(err)
	ticking.Wait()
	s.leave()
	if cause := context.Cause(s.ctx); errors.Is(cause, errAckLost) {
		return cause
	}
	return err
}

func (s *session) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(s.sub.Group),
		kgo.ConsumeTopics(s.sub.Topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxWait(fetchWait),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { s.give(lost, true) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { s.give(lost, false) }),
	}
}

// poll takes records over until the session ends.
func (s *session) poll() error {
	for s.waitForRoom() {
		fetches := s.cl.PollRecords(s.ctx, pollRecords)
		// No partition goes between here and AllowRebalance.
		fetches.EachRecord(s.take)
		s.cl.AllowRebalance()
		if err := fatal(fetches); err != nil {
			return err
		}
	}
	return nil
}

// waitForRoom waits until the lanes hold less than the limit. It returns false
// when the session has ended.
func (s *session) waitForRoom() bool {
	for {
		s.mu.Lock()
		full := s.held >= s.cfg.heldBytes
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			return false
		}
		if !full {
			return true
		}
		select {
		case <-s.ctx.Done():
			return false
		case <-s.room:
		}
	}
}

// fatal is the error of a fetch after which it makes no sense to go on. Everything
// else the client tries again.
func fatal(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, kgo.ErrClientClosed) {
			return e.Err
		}
		for _, final := range []error{kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
			kerr.SaslAuthenticationFailed, kerr.InvalidGroupID, kerr.InvalidTopicException, kerr.InconsistentGroupProtocol, kerr.GroupMaxSizeReached} {
			if errors.Is(e.Err, final) {
				return fmt.Errorf("kafka: topic %q: %w", e.Topic, e.Err)
			}
		}
	}
	return nil
}

// take puts a record into its lane.
func (s *session) take(r *kgo.Record) {
	at := topicPartition{r.Topic, r.Partition}
	s.mu.Lock()
	p := s.parts[at]
	if p == nil {
		p = newPartition(s, at, r.Offset)
		s.parts[at] = p
	}
	size := int64(len(r.Key) + len(r.Value))
	s.held += size
	s.mu.Unlock()

	q := p.expect(r)
	it := &lane.Item{
		Delivery: bus.Delivery{Message: fromRecord(r), Position: &bus.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}},
		From:     p.source,
		Ack:      func() { p.done(q) },
		AckEarly: func() { p.done(q); s.commit(s.ctx, nil) },
		Left:     func() { s.left(size) },
	}
	if p.lane != nil {
		p.lane.Put(it)
		return
	}
	s.lanes.Of(it.Delivery.Key, uint64(r.Offset)).Put(it)
}

// left says that a message has left its lane.
func (s *session) left(size int64) {
	s.mu.Lock()
	s.held -= size
	s.mu.Unlock()
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// give gives partitions up: their handlers end, and what they have done is
// committed unless the partitions are somebody else's already.
func (s *session) give(lost map[string][]int32, commit bool) {
	var gone []*partition
	s.mu.Lock()
	for topic, numbers := range lost {
		for _, n := range numbers {
			if p := s.parts[topicPartition{topic, n}]; p != nil {
				gone = append(gone, p)
			}
		}
	}
	s.mu.Unlock()
	s.stop(gone)
	if commit {
		within, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), leaveWithin)
		s.commit(within, gone)
		cancel()
	}
	s.mu.Lock()
	for _, p := range gone {
		delete(s.parts, p.at)
	}
	s.mu.Unlock()
}

// stop ends the handlers of partitions, all at once.
func (s *session) stop(parts []*partition) {
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(p.end)
	}
	all.Wait()
}

// leave ends the handlers, commits what they have done and leaves the group.
func (s *session) leave() {
	s.stop(s.all())
	if s.lanes != nil {
		s.lanes.Close()
	}
	ctx := context.WithoutCancel(s.ctx)
	within, cancel := context.WithTimeout(ctx, leaveWithin)
	s.commit(within, nil)
	cancel()
	s.cl.AllowRebalance()
	within, cancel = context.WithTimeout(ctx, leaveWithin)
	_ = s.cl.LeaveGroupContext(within) // if it fails the group notices by itself
	cancel()
	s.cl.Close()
}

// all are the partitions that are ours.
func (s *session) all() (out []*partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.parts {
		out = append(out, p)
	}
	return out
}
