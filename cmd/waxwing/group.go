package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newGroupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "group",
		GroupID: groupData,
		Short:   "List, describe, reset and delete consumer groups",
		Long: `A consumer group is a name under which consumers share the partitions of topics.
The broker keeps, for each partition, the offset up to which the group has come: the
committed offset. The lag is how many records lie behind it.`,
		Example: `  waxwing group list
  waxwing group describe audit
  waxwing group reset audit --to-earliest --dry-run
  waxwing group delete audit`,
		RunE: showHelp,
	}
	cmd.AddCommand(
		newGroupListCommand(),
		newGroupDescribeCommand(),
		newGroupResetCommand(),
		newGroupDeleteCommand(),
	)
	return cmd
}

// groupMember is a consumer in a group.
type groupMember struct {
	ID         string            `json:"memberId"`
	InstanceID *string           `json:"instanceId,omitempty"` // set on static members
	ClientID   string            `json:"clientId"`
	Host       string            `json:"host"`
	Assigned   []topicPartitions `json:"assigned"`
}

// topicPartitions are partitions of one topic.
type topicPartitions struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// groupInfo is a group without its offsets.
type groupInfo struct {
	Group       string        `json:"group"`
	State       string        `json:"state"`
	Type        string        `json:"type"`     // classic, or consumer (KIP-848)
	Protocol    string        `json:"protocol"` // how partitions are assigned
	Coordinator int32         `json:"coordinator"`
	Members     []groupMember `json:"members"`
}

// active reports whether consumers are in the group.
func (g *groupInfo) active() bool { return len(g.Members) > 0 }

// findGroup returns the group, of either protocol, or nil if there is none of
// that name.
func findGroup(ctx context.Context, s *session, name string) (*groupInfo, error) {
	classic, err := s.adm.DescribeGroups(ctx, name)
	if err != nil {
		return nil, err
	}
	g := classic[name]
	if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("group %q: %w", name, brokerError(g.Err, g.ErrMessage))
	}
	if g.Err == nil && g.State != "Dead" {
		return classicGroup(g), nil
	}
	// A broker without the new protocol does not know this request; then
	// the group does not exist.
	modern, err := s.adm.DescribeConsumerGroups(ctx, name)
	if m, ok := modern[name]; err == nil && ok && m.Err == nil {
		return consumerGroup(m), nil
	}
	return nil, ctx.Err()
}

// classicGroup describes a group of the protocol that all clients speak.
func classicGroup(g kadm.DescribedGroup) *groupInfo {
	info := &groupInfo{
		Group: g.Group, State: g.State, Type: "classic", Protocol: g.Protocol,
		Coordinator: g.Coordinator.NodeID, Members: []groupMember{},
	}
	for _, m := range g.Members {
		member := groupMember{ID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost, Assigned: []topicPartitions{}}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			set := kadm.TopicsSet{}
			for _, t := range assigned.Topics {
				set.Add(t.Topic, t.Partitions...)
			}
			member.Assigned = partitionsOf(set)
		}
		info.Members = append(info.Members, member)
	}
	return info
}

// consumerGroup describes a group of the protocol of KIP-848.
func consumerGroup(g kadm.DescribedConsumerGroup) *groupInfo {
	info := &groupInfo{
		Group: g.Group, State: g.State, Type: "consumer", Protocol: g.AssignorName,
		Coordinator: g.Coordinator.NodeID, Members: []groupMember{},
	}
	for _, m := range g.Members {
		info.Members = append(info.Members, groupMember{
			ID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost, Assigned: partitionsOf(m.Assignment),
		})
	}
	return info
}

// partitionsOf sorts a set of partitions; never nil.
func partitionsOf(set kadm.TopicsSet) []topicPartitions {
	list := []topicPartitions{}
	for _, t := range set.Sorted() {
		list = append(list, topicPartitions{Topic: t.Topic, Partitions: t.Partitions})
	}
	return list
}

// committedOffsets returns what the group has committed.
func committedOffsets(ctx context.Context, s *session, group string) (kadm.OffsetResponses, error) {
	offsets, err := s.adm.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("group %q: %w", group, brokerError(err, ""))
	}
	return offsets, nil
}
