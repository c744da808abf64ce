package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// route carries out one request whose shape is right. It owns the call, unless
// it returns an error, which closes the connection.
func (c *conn) route(k *call) error {
	const prompt, waits = true, false
	s := c.s
	switch kmsg.Key(k.header.key) {
	// The hot path, and what waits.
	case kmsg.Produce:
		return c.produce(k)
	case kmsg.Fetch:
		return c.fetch(k)

	// Finding things.
	case kmsg.ApiVersions:
		return answer(c, k, s.apiVersions)
	case kmsg.SASLHandshake:
		return answer(c, k, s.saslHandshake)
	case kmsg.Metadata:
		return sized(c, k, s.metadataBytes, s.metadata)
	case kmsg.DescribeCluster:
		return answer(c, k, s.describeCluster)
	case kmsg.DescribeTopicPartitions:
		return sized(c, k, s.describeTopicPartitionsBytes, s.describeTopicPartitions)
	case kmsg.ListOffsets:
		return answer(c, k, s.listOffsets)
	case kmsg.OffsetForLeaderEpoch:
		return answer(c, k, s.offsetForLeaderEpoch)
	case kmsg.FindCoordinator:
		return answer(c, k, s.findCoordinator)
	case kmsg.InitProducerID:
		return answer(c, k, s.initProducerID)

	// Consumer groups.
	case kmsg.JoinGroup:
		return later(c, k, waits, s.joinGroup)
	case kmsg.SyncGroup:
		return later(c, k, waits, s.syncGroup)
	case kmsg.Heartbeat:
		return later(c, k, prompt, s.heartbeat)
	case kmsg.LeaveGroup:
		return later(c, k, prompt, s.leaveGroup)
	case kmsg.OffsetCommit:
		return later(c, k, prompt, s.offsetCommit)
	case kmsg.OffsetFetch:
		return sized(c, k, s.offsetFetchBytes, s.offsetFetch)
	case kmsg.OffsetDelete:
		return answer(c, k, s.offsetDelete)
	case kmsg.DescribeGroups:
		return answer(c, k, s.describeGroups)
	case kmsg.ListGroups:
		return sized(c, k, listGroupsBytes, s.listGroups)
	case kmsg.DeleteGroups:
		return answer(c, k, s.deleteGroups)

	// Administration.
	case kmsg.CreateTopics:
		return sized(c, k, createTopicsBytes, s.createTopics)
	case kmsg.DeleteTopics:
		return answer(c, k, s.deleteTopics)
	case kmsg.CreatePartitions:
		return answer(c, k, s.createPartitions)
	case kmsg.DeleteRecords:
		return answer(c, k, s.deleteRecords)
	case kmsg.DescribeConfigs:
		return sized(c, k, s.describeConfigsBytes, s.describeConfigs)
	case kmsg.AlterConfigs:
		return answer(c, k, s.alterConfigs)
	case kmsg.IncrementalAlterConfigs:
		return answer(c, k, s.incrementalAlterConfigs)
	case kmsg.DescribeLogDirs:
		return sized(c, k, s.describeLogDirsBytes, s.describeLogDirs)
	case kmsg.DescribeProducers:
		return answer(c, k, s.describeProducers)
	}
	return fmt.Errorf("API %d is in the table of versions and not here", k.header.key)
}
