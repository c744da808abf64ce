package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// route carries out one request whose shape is right. It owns the frame,
// unless it returns an error, which closes the connection.
func (c *conn) route(f *frame, h header, body []byte) error {
	const prompt, waits = true, false
	s := c.s
	switch kmsg.Key(h.key) {
	// The hot path, and what waits.
	case kmsg.Produce:
		return c.produce(f, h, body)
	case kmsg.Fetch:
		return c.fetch(f, h, body)

	// Finding things.
	case kmsg.ApiVersions:
		return answer(c, f, h, body, s.apiVersions)
	case kmsg.Metadata:
		return answer(c, f, h, body, s.metadata)
	case kmsg.DescribeCluster:
		return answer(c, f, h, body, s.describeCluster)
	case kmsg.DescribeTopicPartitions:
		return answer(c, f, h, body, s.describeTopicPartitions)
	case kmsg.ListOffsets:
		return answer(c, f, h, body, s.listOffsets)
	case kmsg.OffsetForLeaderEpoch:
		return answer(c, f, h, body, s.offsetForLeaderEpoch)
	case kmsg.FindCoordinator:
		return answer(c, f, h, body, s.findCoordinator)
	case kmsg.InitProducerID:
		return answer(c, f, h, body, s.initProducerID)

	// Consumer groups.
	case kmsg.JoinGroup:
		return later(c, f, h, body, waits, s.joinGroup)
	case kmsg.SyncGroup:
		return later(c, f, h, body, waits, s.syncGroup)
	case kmsg.Heartbeat:
		return later(c, f, h, body, prompt, s.heartbeat)
	case kmsg.LeaveGroup:
		return later(c, f, h, body, prompt, s.leaveGroup)
	case kmsg.OffsetCommit:
		return later(c, f, h, body, prompt, s.offsetCommit)
	case kmsg.OffsetFetch:
		return answer(c, f, h, body, s.offsetFetch)
	case kmsg.OffsetDelete:
		return answer(c, f, h, body, s.offsetDelete)
	case kmsg.DescribeGroups:
		return answer(c, f, h, body, s.describeGroups)
	case kmsg.ListGroups:
		return answer(c, f, h, body, s.listGroups)
	case kmsg.DeleteGroups:
		return answer(c, f, h, body, s.deleteGroups)

	// Administration.
	case kmsg.CreateTopics:
		return answer(c, f, h, body, s.createTopics)
	case kmsg.DeleteTopics:
		return answer(c, f, h, body, s.deleteTopics)
	case kmsg.CreatePartitions:
		return answer(c, f, h, body, s.createPartitions)
	case kmsg.DeleteRecords:
		return answer(c, f, h, body, s.deleteRecords)
	case kmsg.DescribeConfigs:
		return answer(c, f, h, body, s.describeConfigs)
	case kmsg.AlterConfigs:
		return answer(c, f, h, body, s.alterConfigs)
	case kmsg.IncrementalAlterConfigs:
		return answer(c, f, h, body, s.incrementalAlterConfigs)
	case kmsg.DescribeLogDirs:
		return answer(c, f, h, body, s.describeLogDirs)
	case kmsg.DescribeProducers:
		return answer(c, f, h, body, s.describeProducers)
	}
	return fmt.Errorf("API %d is in the table of versions and not here", h.key)
}
