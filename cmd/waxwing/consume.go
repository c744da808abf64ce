package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consume holds the flags of `waxwing consume`.
type consume struct {
	conn       connection
	print      printOptions
	group      string
	beginning  bool
	offset     string
	partitions []int32
	max        int64
	idle       time.Duration
}

func newConsumeCommand() *cobra.Command {
	var c consume
	cmd := &cobra.Command{
		Use:     "consume TOPIC...",
		GroupID: groupData,
		Short:   "Print records of topics to stdout",
		Long: `Prints the values of records, one per line, and waits for more until it is
interrupted, has printed --max-messages, or has seen nothing for --exit-when-idle.

Without a group it reads all partitions (or those given) from the end, so only what
arrives from now on; --from-beginning and --offset start elsewhere. An offset is
earliest, latest, a number, -N for the last N records of each partition, or @TIME
for the first record from that time on (@2026-01-02T03:04:05Z, @-90m).

With --group it joins the consumer group: the members of a group share the
partitions, and the group remembers how far it came. What has been printed is
committed, at the end and every few seconds. A group that remembers nothing starts
at the end, or with --from-beginning at the start.

--format takes the layout of franz-go's record formatter: %v value, %k key,
%t topic, %p partition, %o offset, %d timestamp in ms, %h{%k=%v } headers, \n newline.`,
		Example: `  waxwing consume orders
  waxwing consume orders --from-beginning --exit-when-idle 1s
  waxwing consume orders --offset -10 -n 10 --print-key
  waxwing consume orders payments --group audit --json
  waxwing consume orders -p 0 --offset @-1h --format '%o %k %v\n'`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.conn.completeTopics(0),
		RunE:              c.run,
	}
	fs := cmd.Flags()
	fs.StringVarP(&c.group, "group", "g", "", "read as a member of this consumer group")
	fs.BoolVar(&c.beginning, "from-beginning", false, "start at the first record")
	fs.StringVar(&c.offset, "offset", "", "start at earliest, latest, N, -N or @TIME")
	fs.Int32SliceVarP(&c.partitions, "partition", "p", nil, "read only these partitions")
	fs.Int64VarP(&c.max, "max-messages", "n", 0, "stop after so many records (0: no limit)")
	fs.DurationVarP(&c.idle, "exit-when-idle", "e", 0, "stop when no record has come for so long (0: wait on)")
	cmd.MarkFlagsMutuallyExclusive("from-beginning", "offset")
	cmd.MarkFlagsMutuallyExclusive("group", "offset")
	cmd.MarkFlagsMutuallyExclusive("group", "partition")
	must(cmd.RegisterFlagCompletionFunc("group", c.conn.completeGroups(0)))
	c.print.addTo(cmd)
	c.conn.addTo(cmd)
	return cmd
}

// run consumes. An interrupt is a good end, whenever it comes.
func (c *consume) run(cmd *cobra.Command, topics []string) error {
	if err := c.consume(cmd, topics); !errors.Is(err, errInterrupted) {
		return err
	}
	return nil
}

func (c *consume) consume(cmd *cobra.Command, topics []string) error {
	if c.max < 0 || c.idle < 0 {
		return fmt.Errorf("--max-messages and --exit-when-idle must not be negative")
	}
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	printer, err := c.print.printer(out)
	if err != nil {
		return err
	}
	outer, stop := whileRead(cmd.Context(), cmd.OutOrStdout())
	defer stop()
	options, ids, assigned, err := c.source(cmd, topics)
	if err != nil {
		return err
	}
	s, err := c.conn.open(outer, options...)
	if err != nil {
		return err
	}
	defer s.close()

	err = c.loop(outer, s, ids, assigned, printer, out.Flush)
	if c.group == "" {
		return err
	}
	if errors.As(err, new(goneTopic)) {
		_ = c.leave(cmd.Context(), s) // offsets of what is gone cannot be committed
		return err
	}
	return errors.Join(err, c.leave(cmd.Context(), s))
}

// errNotRead is the cause of the end when nobody reads the output any more,
// as behind `| head -1`. It is a good end.
var errNotRead = errors.New("nobody reads the output")

// source returns the client options that say what to read and from where, and
// the topics' ids. The channel is closed when a group has given out its partitions; without a group
// it is closed already.
func (c *consume) source(cmd *cobra.Command, topics []string) ([]kgo.Opt, map[string]kadm.TopicID, <-chan struct{}, error) {
	assigned := make(chan struct{})
	ids := map[string]kadm.TopicID{}
	var starts map[string]map[int32]kgo.Offset
	err := c.conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
		details, err := s.topics(ctx, topics...)
		if err != nil {
			return err
		}
		for _, topic := range topics {
			ids[topic] = details[topic].ID
		}
		if c.group == "" {
			starts, err = c.starts(ctx, s, details, topics)
		}
		return err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if c.group == "" {
		close(assigned)
		return []kgo.Opt{kgo.ConsumePartitions(starts), kgo.ConsumeResetOffset(kgo.NoResetOffset())}, ids, assigned, nil
	}
	start := kgo.NewOffset().AtEnd()
	if c.beginning {
		start = kgo.NewOffset().AtStart()
	}
	given := sync.OnceFunc(func() { close(assigned) })
	return []kgo.Opt{
		kgo.ConsumeTopics(topics...),
		kgo.ConsumerGroup(c.group),
		kgo.ConsumeStartOffset(start),
		kgo.AutoCommitMarks(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { given() }),
	}, ids, assigned, nil
}

// starts resolves where to begin in each partition.
func (c *consume) starts(ctx context.Context, s *session, details kadm.TopicDetails, topics []string) (map[string]map[int32]kgo.Offset, error) {
	spec := c.offset
	switch {
	case c.beginning:
		spec = "earliest"
	case spec == "":
		spec = "latest"
	}
	from, err := parseStart(spec, time.Now())
	if err != nil {
		return nil, err
	}
	at, err := from.resolve(ctx, s, topics)
	if err != nil {
		return nil, err
	}
	starts := map[string]map[int32]kgo.Offset{}
	for _, topic := range topics {
		numbers := c.partitions
		if len(numbers) == 0 {
			numbers = details[topic].Partitions.Numbers()
		}
		starts[topic] = map[int32]kgo.Offset{}
		for _, p := range numbers {
			offset, err := at(topic, p)
			if err != nil {
				return nil, err
			}
			starts[topic][p] = kgo.NewOffset().At(offset)
		}
	}
	return starts, nil
}

// loop polls and prints until one of the ends that the flags name. flush is
// called after each poll; only what it has written is marked for commit.
func (c *consume) loop(outer context.Context, s *session, ids map[string]kadm.TopicID, assigned <-chan struct{}, print func(*kgo.Record) error, flush func() error) error {
	ctx, stop := s.watched(outer)
	defer stop()
	ctx, stopLooking := s.whileThere(ctx, ids)
	defer stopLooking()
	idle := c.newIdleTimer(s, assigned)
	for left := c.max; ; {
		batch := maxPoll
		if c.max > 0 {
			batch = int(min(left, maxPoll))
		}
		poll, cancel := idle.context(ctx)
		fetches := s.cl.PollRecords(poll, batch)
		cancel()

		records := fetches.Records()
		for _, r := range records {
			if err := print(r); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if c.group != "" {
			s.cl.MarkCommitRecords(records...)
		}
		left -= int64(len(records))
		switch err := fetchError(fetches); {
		case lost(ctx) != nil:
			return lost(ctx)
		case gone(ctx) != nil:
			return gone(ctx)
		case outer.Err() != nil, c.max > 0 && left == 0:
			return nil
		case err != nil:
			if name := s.deleted(ctx, ids); name != "" {
				return goneTopic(name)
			}
			return err
		}
		if idle.over(len(records)) {
			return nil
		}
	}
}

// maxPoll bounds how many records are handled between two flushes.
const maxPoll = 10000

// fetchError returns the first error of a poll that the client will not get
// over by itself, if any.
func fetchError(fetches kgo.Fetches) error {
	for _, f := range fetches.Errors() {
		var session *kgo.ErrGroupSession
		var answer *kerr.Error
		switch {
		case errors.Is(f.Err, context.DeadlineExceeded), errors.Is(f.Err, context.Canceled):
		case errors.As(f.Err, &session) && (!errors.As(f.Err, &answer) || answer.Retriable):
			// The client joins again by itself; the lifeline says when it
			// has taken too long.
		case errors.Is(f.Err, kerr.OffsetOutOfRange):
			return fmt.Errorf("partition %d of topic %q no longer has the offset to read next", f.Partition, f.Topic)
		default:
			return topicError(f.Topic, f.Err, "")
		}
	}
	return nil
}

// leave commits what was printed and leaves the group, even after a signal.
func (c *consume) leave(outer context.Context, s *session) error {
	ctx, cancel := s.limited(context.WithoutCancel(outer))
	defer cancel()
	if err := s.cl.CommitMarkedOffsets(ctx); err != nil {
		return fmt.Errorf("group %q: cannot commit: %w", c.group, brokerError(err, ""))
	}
	return s.cl.LeaveGroupContext(ctx)
}
