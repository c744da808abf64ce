package broker

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/journal"
)

// groupEntry makes a group's entry an entry of the shard.
type groupEntry struct{ group.Entry }

// Append implements entry.
func (e groupEntry) Append(dst []byte) []byte { return group.EncodeEntry(dst, e.Entry) }

func (d *durable) applyGroup(e journal.Entry) error {
	x, err := group.DecodeEntry(e.Body)
	if errors.Is(err, group.ErrNewer) {
		return fmt.Errorf("%w: %w", engine.ErrNewer, err)
	}
	if err != nil {
		return err
	}
	d.groups.Apply(x)
	return nil
}

// groupShard is the shard that a group lives in.
func (b *Broker) groupShard(id string) *shard {
	h := fnv.New32a()
	h.Write([]byte(id))
	return b.shards[h.Sum32()%uint32(len(b.shards))]
}

// Group submits a command about the consumer group id, which must be the
// group that cmd names (all of them, if it names several). reply is called
// exactly once, possibly much later (joins and syncs wait), from a goroutine
// of the broker, and must not block. cancel drops the reply of a waiting
// command whose connection is gone: then reply may never be called.
func (b *Broker) Group(id string, cmd group.Command, reply func(group.Body, error)) (cancel func()) {
	return b.groupShard(id).group(cmd, reply)
}

// EachGroupShard submits a command that concerns all groups (ListGroups) to
// every shard and returns what each answered.
func (b *Broker) EachGroupShard(ctx context.Context, cmd group.Command) ([]group.Body, error) {
	out := make([]group.Body, 0, len(b.shards))
	for _, s := range b.shards {
		body, err := s.groupWait(ctx, cmd)
		if err != nil {
			return nil, err
		}
		out = append(out, body)
	}
	return out, nil
}

// GroupWait is Group for commands that do not wait for other members.
func (b *Broker) GroupWait(ctx context.Context, id string, cmd group.Command) (group.Body, error) {
	return b.groupShard(id).groupWait(ctx, cmd)
}

func (s *shard) groupWait(ctx context.Context, cmd group.Command) (group.Body, error) {
	type answer struct {
		body group.Body
		err  error
	}
	ch := make(chan answer, 1)
	s.group(cmd, func(body group.Body, err error) { ch <- answer{body, err} })
	if s.b.cfg.Inline {
		s.decideInline()
		s.j.Flush()
	}
	select {
	case a := <-ch:
		return a.body, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *shard) group(cmd group.Command, reply func(group.Body, error)) (cancel func()) {
	c := &groupCommand{cmd: cmd, token: group.Token(s.token.Add(1)), reply: reply}
	if !s.inbox.put(context.Background(), control, c, 0) {
		c.refuse(errf(Stopping, "the broker is shutting down"))
		return func() {}
	}
	return func() { s.inbox.put(context.Background(), control, forgetCommand{c.token}, 0) }
}

type groupCommand struct {
	cmd   group.Command
	token group.Token
	reply func(group.Body, error)
}

func (c *groupCommand) refuse(err error) { c.reply(nil, err) }

func (c *groupCommand) decide(s *shard, now int64) {
	size := s.groups.EntryBytes(c.cmd)
	if _, ok := c.cmd.(group.CommitOffsets); ok && size > s.traits.SlotBytesMax/2 {
		c.refuse(errf(InvalidRequest, "the commit is too large"))
		return
	}
	if err := s.room(c.need(), size); err != nil {
		c.refuse(err)
		return
	}
	s.replies[c.token] = c.reply
	s.settle(s.groups.Decide(time.UnixMilli(now), c.cmd, c.token))
}

// need is what the command may take of a full disk's reserve.
func (c *groupCommand) need() need {
	switch c.cmd.(type) {
	case group.Heartbeat, group.FetchOffsets, group.DescribeGroups, group.ListGroups:
		return toRead
	case group.Join, group.Sync, group.CommitOffsets:
		return toCommit
	}
	return toFree
}

// forgetCommand drops a waiting reply.
type forgetCommand struct{ token group.Token }

func (c forgetCommand) refuse(error) {}

func (c forgetCommand) decide(s *shard, _ int64) {
	delete(s.replies, c.token)
	s.groups.Forget(c.token)
}

// timerBytes is about what timers log at once; on a full disk they wait until
// there is room for it.
const timerBytes = 64 << 10

// timersPause is how long timers wait before they look for room again.
const timersPause = time.Second

// fireTimers lets sessions, rebalances and offsets expire, and messages and
// queues.
func (s *shard) fireTimers() {
	now := time.UnixMilli(s.tick())
	if s.nextDeadline().After(now) || s.room(toFree, timerBytes) != nil {
		return
	}
	if !s.groups.NextDeadline().After(now) {
		s.settle(s.groups.Tick(now))
	}
	s.tickQueues(now.UnixMilli())
}

// nextDeadline is when fireTimers has something to do.
func (s *shard) nextDeadline() time.Time {
	at := s.groups.NextDeadline()
	if q := s.q.machine.NextDeadline(); !q.IsZero() && q.Before(at) {
		return q
	}
	return at
}

// untilTimers is how long nothing is due.
func (s *shard) untilTimers() time.Duration {
	wait := s.nextDeadline().Sub(time.UnixMilli(s.tick()))
	if wait <= 0 && s.room(toFree, timerBytes) != nil {
		return timersPause
	}
	return max(0, wait)
}

// settle logs what the group machine decided and sends its replies once that
// is durable.
func (s *shard) settle(entries []group.Entry, replies []group.Reply) {
	for _, e := range entries {
		s.log(typeGroup, groupEntry{e}, nil, nil)
	}
	if len(replies) == 0 {
		return
	}
	out := make(groupReplies, 0, len(replies))
	for _, r := range replies {
		if fn := s.replies[r.Token]; fn != nil {
			delete(s.replies, r.Token)
			out = append(out, groupReply{fn, r.Body})
		}
	}
	s.j.Attach(out)
}

type groupReply struct {
	fn   func(group.Body, error)
	body group.Body
}

type groupReplies []groupReply

// Durable implements journal.Waiter.
func (rs groupReplies) Durable(err error) {
	for _, r := range rs {
		if err != nil {
			r.fn(nil, errf(Failed, "the log failed: %v", err))
			continue
		}
		r.fn(r.body, nil)
	}
}
