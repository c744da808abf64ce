package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// groupDescription is what `waxwing group describe` says of a group.
type groupDescription struct {
	groupInfo
	TotalLag int64         `json:"totalLag"`
	Offsets  []groupOffset `json:"offsets"`
}

// groupOffset is how far the group is in a partition. Committed is -1 where
// nothing is committed; End and Lag are -1 where the topic is gone.
type groupOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"`
	End       int64  `json:"end"`
	Lag       int64  `json:"lag"`
	Member    string `json:"memberId,omitempty"`
}

func newGroupDescribeCommand() *cobra.Command {
	var conn connection
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "describe GROUP...",
		Short: "Show members, offsets and lag of groups",
		Long: `Shows each group's state, its members, and for every partition that the group has
committed or is assigned: the committed offset, the end of the log and the lag.
Where nothing is committed, the lag is what the partition holds.`,
		Example: `  waxwing group describe audit
  waxwing group describe audit --output json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: conn.completeGroups(0),
		RunE: func(cmd *cobra.Command, names []string) error {
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				var groups []*groupDescription
				for _, name := range names {
					g, err := describeGroup(ctx, s, name)
					if err != nil {
						return err
					}
					groups = append(groups, g)
				}
				if out.json() {
					return printJSON(cmd.OutOrStdout(), groups)
				}
				for i, g := range groups {
					if i > 0 {
						fmt.Fprintln(cmd.OutOrStdout())
					}
					if err := g.print(cmd.OutOrStdout()); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	conn.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

// describeGroup asks for everything about one group.
func describeGroup(ctx context.Context, s *session, name string) (*groupDescription, error) {
	info, err := findGroup(ctx, s, name)
	if err != nil {
		return nil, err
	}
	if info == nil {
		return nil, fmt.Errorf("group %q does not exist", name)
	}
	committed, err := committedOffsets(ctx, s, name)
	if err != nil {
		return nil, err
	}
	d := &groupDescription{groupInfo: *info, Offsets: []groupOffset{}}
	set := committed.Offsets().TopicsSet()
	owner := map[string]map[int32]string{}
	for _, m := range info.Members {
		for _, t := range m.Assigned {
			set.Add(t.Topic, t.Partitions...)
			if owner[t.Topic] == nil {
				owner[t.Topic] = map[int32]string{}
			}
			for _, p := range t.Partitions {
				owner[t.Topic][p] = m.ID
			}
		}
	}
	if len(set) == 0 {
		return d, nil
	}
	b, err := readBounds(ctx, s, set.Topics())
	if err != nil {
		return nil, err
	}
	for _, t := range set.Sorted() {
		slices.Sort(t.Partitions)
		for _, p := range t.Partitions {
			row := offsetRow(b, committed, t.Topic, p)
			row.Member = owner[t.Topic][p]
			d.Offsets = append(d.Offsets, row)
			d.TotalLag += max(row.Lag, 0)
		}
	}
	return d, nil
}

// offsetRow compares what is committed with the bounds of the partition.
func offsetRow(b bounds, committed kadm.OffsetResponses, topic string, partition int32) groupOffset {
	row := groupOffset{Topic: topic, Partition: partition, Committed: -1, End: -1, Lag: -1}
	if c, ok := committed.Lookup(topic, partition); ok && c.Err == nil {
		row.Committed = c.At
	}
	first, next, err := b.of(topic, partition)
	if err != nil {
		return row
	}
	row.End = next
	row.Lag = max(0, next-max(first, row.Committed))
	return row
}

// print writes the group for people.
func (d *groupDescription) print(w io.Writer) error {
	fmt.Fprintf(w, "group     %s\nstate     %s\ntype      %s\n", d.Group, d.State, d.Type)
	if d.Protocol != "" {
		fmt.Fprintf(w, "protocol  %s\n", d.Protocol)
	}
	fmt.Fprintf(w, "members   %d\nlag       %s\n", len(d.Members), groupDigits(d.TotalLag))
	for _, m := range d.Members {
		fmt.Fprintf(w, "  %s  client %s at %s\n", m.ID, m.ClientID, m.Host)
	}
	if len(d.Offsets) == 0 {
		return nil
	}
	var rows [][]string
	for _, o := range d.Offsets {
		rows = append(rows, []string{
			o.Topic, strconv.Itoa(int(o.Partition)), offsetText(o.Committed), offsetText(o.End), offsetText(o.Lag), o.Member,
		})
	}
	return printTable(w, []string{"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"}, rows)
}
