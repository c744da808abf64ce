package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// DescribeLogDirs (key 35), versions 1 to 5.
//
// Behaviour: there is one folder. The size of a partition is that of its
// records; partitions share files.
//
// Version notes: 4 brings the size of the disk, -1 if it is not known.

func (s *Server) describeLogDirs(_ *request, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	d := kmsg.NewDescribeLogDirsResponseDir()
	d.Dir, d.TotalBytes, d.UsableBytes = s.cfg.LogDir, -1, -1
	if s.cfg.Disk != nil {
		d.TotalBytes, d.UsableBytes = s.cfg.Disk()
	}
	wanted := map[string]map[int32]bool{}
	for _, t := range req.Topics {
		if wanted[t.Topic] == nil {
			wanted[t.Topic] = map[int32]bool{}
		}
		for _, p := range t.Partitions {
			wanted[t.Topic][p] = true
		}
	}
	for _, t := range s.broker.Topics() {
		parts, named := wanted[t.Name]
		if req.Topics == nil {
			d.Topics = append(d.Topics, s.logDirTopic(t, func(int32) bool { return true }))
		} else if named {
			d.Topics = append(d.Topics, s.logDirTopic(t, func(p int32) bool { return parts[p] }))
		}
	}
	resp.Dirs = append(resp.Dirs, d)
	return resp
}

// describeLogDirsBytes is what the response takes.
func (s *Server) describeLogDirsBytes(req *kmsg.DescribeLogDirsRequest) int64 {
	return answerBytes + int64(len(s.cfg.LogDir))*longTextTimes + s.allMetadataBytes()
}

func (s *Server) logDirTopic(of *broker.Topic, wanted func(int32) bool) kmsg.DescribeLogDirsResponseDirTopic {
	t := kmsg.NewDescribeLogDirsResponseDirTopic()
	t.Topic = of.Name
	for i, part := range of.Partitions {
		if !wanted(int32(i)) {
			continue
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size = int32(i), s.broker.PartitionBytes(part)
		t.Partitions = append(t.Partitions, p)
	}
	return t
}
