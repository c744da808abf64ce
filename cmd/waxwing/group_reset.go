package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// groupReset holds the flags of `waxwing group reset`.
type groupReset struct {
	conn     connection
	out      outputFlag
	topics   []string
	earliest bool
	latest   bool
	offset   int64
	time     string
	shift    int64
	dryRun   bool
}

// resetRow is what a reset does to one partition. Before is -1 where nothing
// was committed.
type resetRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Before    int64  `json:"before"`
	After     int64  `json:"after"`
}

// resetReport is the result of a reset.
type resetReport struct {
	Group      string     `json:"group"`
	DryRun     bool       `json:"dryRun"`
	Partitions []resetRow `json:"partitions"`
}

func newGroupResetCommand() *cobra.Command {
	r := groupReset{out: newOutputFlag()}
	cmd := &cobra.Command{
		Use:   "reset GROUP",
		Short: "Move the committed offsets of a group",
		Long: `Moves the offsets from which a group's consumers will go on. Without --topic that
is every partition for which the group has committed something; with --topic a group
that does not exist yet can be given a start. Targets outside the log are moved to
its nearest end.

The group must have no consumers: a running consumer would commit over the change.
--dry-run shows what would be done and does nothing.`,
		Example: `  waxwing group reset audit --to-earliest --dry-run
  waxwing group reset audit --to-offset 1000 --topic orders:0
  waxwing group reset audit --to-time 2026-01-02T00:00:00Z --topic orders
  waxwing group reset audit --to-time -90m
  waxwing group reset audit --shift-by -100`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.conn.completeGroups(1),
		RunE:              r.run,
	}
	fs := cmd.Flags()
	fs.StringArrayVarP(&r.topics, "topic", "t", nil, "only this topic, or partitions of it (orders:0,1); may be repeated")
	fs.BoolVar(&r.earliest, "to-earliest", false, "to the first record")
	fs.BoolVar(&r.latest, "to-latest", false, "to the end: skip everything")
	fs.Int64Var(&r.offset, "to-offset", 0, "to this offset")
	fs.StringVar(&r.time, "to-time", "", "to the first record from this time on (RFC 3339, date, ms or -90m)")
	fs.Int64Var(&r.shift, "shift-by", 0, "forward by so many records, or back if negative")
	fs.BoolVar(&r.dryRun, "dry-run", false, "show what would be done, and do nothing")
	targets := []string{"to-earliest", "to-latest", "to-offset", "to-time", "shift-by"}
	cmd.MarkFlagsMutuallyExclusive(targets...)
	cmd.MarkFlagsOneRequired(targets...)
	must(cmd.RegisterFlagCompletionFunc("topic", r.conn.completeTopics(0)))
	r.conn.addTo(cmd)
	r.out.addTo(cmd)
	return cmd
}

func (r *groupReset) run(cmd *cobra.Command, args []string) error {
	group := args[0]
	target, err := r.target(cmd)
	if err != nil {
		return err
	}
	wanted, err := parseTopicList(r.topics)
	if err != nil {
		return err
	}
	return r.conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
		report := resetReport{Group: group, DryRun: r.dryRun}
		if report.Partitions, err = r.plan(ctx, s, group, wanted, target); err != nil {
			return err
		}
		if !r.dryRun {
			if err := commitReset(ctx, s, report); err != nil {
				return err
			}
		}
		return r.print(cmd, report)
	})
}

// target reads the flags that say where to move to. A nil start means a shift.
func (r *groupReset) target(cmd *cobra.Command) (*start, error) {
	switch {
	case r.earliest:
		return &start{kind: startEarliest}, nil
	case r.latest:
		return &start{kind: startLatest}, nil
	case cmd.Flags().Changed("to-offset"):
		return &start{kind: startOffset, n: r.offset}, nil
	case r.time != "":
		when, err := parseWhen(r.time, time.Now())
		if err != nil {
			return nil, fmt.Errorf("--to-time: %w", err)
		}
		return &start{kind: startTime, when: when}, nil
	case cmd.Flags().Changed("shift-by"):
		return nil, nil
	}
	return nil, fmt.Errorf("say where to: one of --to-earliest, --to-latest, --to-offset, --to-time, --shift-by")
}

// parseTopicList reads orders or orders:0,1. No partitions means all.
func parseTopicList(list []string) (map[string][]int32, error) {
	wanted := map[string][]int32{}
	for _, item := range list {
		topic, numbers, some := strings.Cut(item, ":")
		if topic == "" {
			return nil, fmt.Errorf("--topic %q has no name", item)
		}
		if _, again := wanted[topic]; again {
			return nil, fmt.Errorf("--topic %s is given twice", topic)
		}
		wanted[topic] = nil
		for number := range strings.SplitSeq(numbers, ",") {
			if !some {
				break
			}
			p, err := strconv.ParseInt(number, 10, 32)
			if err != nil || p < 0 {
				return nil, fmt.Errorf("--topic %q: %q is not a partition", item, number)
			}
			wanted[topic] = append(wanted[topic], int32(p))
		}
	}
	return wanted, nil
}

// plan works out the new offset of each partition.
func (r *groupReset) plan(ctx context.Context, s *session, group string, wanted map[string][]int32, target *start) ([]resetRow, error) {
	info, err := findGroup(ctx, s, group)
	if err != nil {
		return nil, err
	}
	if info == nil && len(wanted) == 0 {
		return nil, fmt.Errorf("group %q does not exist (name topics with --topic to give it a start)", group)
	}
	if info != nil && info.active() {
		return nil, fmt.Errorf("group %q has %s; stop them first", group, count(len(info.Members), "consumer"))
	}
	committed, err := committedOffsets(ctx, s, group)
	if err != nil {
		return nil, err
	}
	set, err := resetScope(ctx, s, wanted, committed)
	if err != nil {
		return nil, err
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("group %q has committed nothing (name topics with --topic to give it a start)", group)
	}
	return r.rows(ctx, s, set, committed, target)
}

// resetScope is the set of partitions that a reset is about.
func resetScope(ctx context.Context, s *session, wanted map[string][]int32, committed kadm.OffsetResponses) (kadm.TopicsSet, error) {
	if len(wanted) == 0 {
		return committed.Offsets().TopicsSet(), nil
	}
	set := kadm.TopicsSet{}
	for topic, numbers := range wanted {
		if len(numbers) == 0 {
			details, err := s.topics(ctx, topic)
			if err != nil {
				return nil, err
			}
			numbers = details[topic].Partitions.Numbers()
		}
		set.Add(topic, numbers...)
	}
	return set, nil
}

// rows resolves the target in every partition of set.
func (r *groupReset) rows(ctx context.Context, s *session, set kadm.TopicsSet, committed kadm.OffsetResponses, target *start) ([]resetRow, error) {
	topics := set.Topics()
	if _, err := s.topics(ctx, topics...); err != nil {
		return nil, err
	}
	b, err := readBounds(ctx, s, topics)
	if err != nil {
		return nil, err
	}
	at := func(string, int32) (int64, error) { return target.n, nil }
	if target != nil && target.kind != startOffset {
		if at, err = target.resolve(ctx, s, topics); err != nil {
			return nil, err
		}
	}
	var rows []resetRow
	for _, t := range set.Sorted() {
		slices.Sort(t.Partitions)
		for _, p := range t.Partitions {
			row := resetRow{Topic: t.Topic, Partition: p, Before: -1}
			if c, ok := committed.Lookup(t.Topic, p); ok && c.Err == nil {
				row.Before = c.At
			}
			first, next, err := b.of(t.Topic, p)
			if err != nil {
				return nil, err
			}
			if target == nil {
				if row.Before < 0 {
					return nil, fmt.Errorf("topic %q, partition %d: the group has committed nothing there to shift", t.Topic, p)
				}
				row.After = row.Before + r.shift
			} else if row.After, err = at(t.Topic, p); err != nil {
				return nil, err
			}
			row.After = min(max(row.After, first), next)
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// commitReset commits the new offsets.
func commitReset(ctx context.Context, s *session, report resetReport) error {
	offsets := kadm.Offsets{}
	for _, row := range report.Partitions {
		offsets.AddOffset(row.Topic, row.Partition, row.After, -1)
	}
	answers, err := s.adm.CommitOffsets(ctx, report.Group, offsets)
	if err != nil {
		return err
	}
	return groupError(report.Group, answers.Error())
}

// print tells what was, or would be, done.
func (r *groupReset) print(cmd *cobra.Command, report resetReport) error {
	if r.out.json() {
		return printJSON(cmd.OutOrStdout(), report)
	}
	var rows [][]string
	for _, row := range report.Partitions {
		rows = append(rows, []string{row.Topic, strconv.Itoa(int(row.Partition)), offsetText(row.Before), offsetText(row.After)})
	}
	if err := printTable(cmd.OutOrStdout(), []string{"TOPIC", "PARTITION", "BEFORE", "AFTER"}, rows); err != nil {
		return err
	}
	if report.DryRun {
		fmt.Fprintln(cmd.OutOrStdout(), "dry run: nothing was changed")
	}
	return nil
}
