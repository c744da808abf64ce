package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// ListOffsets (key 2), versions 1 to 11.
//
// Behaviour: finds the first record, in log order, with a timestamp at or
// above the one given, or one of the ends below. Nothing found is offset -1
// without an error. A partition that is asked for twice is INVALID_REQUEST.
// The timeout (version 10) is not used: no other node is asked.
//
// Version notes: 2 brings the isolation level: with read_committed nothing at
// or above the last stable offset is found. 4 brings leader epochs. The
// special timestamps -3, -4, -5 and -6 need versions 7, 8, 9 and 11.

// The special timestamps.
const (
	latest         = -1
	earliest       = -2
	maxTimestamp   = -3
	earliestLocal  = -4 // here the same as earliest
	latestTiered   = -5 // nothing is tiered
	pendingTiering = -6
)

func (s *Server) listOffsets(rq *request, req *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	type place struct {
		topic     string
		partition int32
	}
	times := map[place]int{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			times[place{t.Topic, p.Partition}]++
		}
	}
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = rt.Topic
		for j := range rt.Partitions {
			want := &rt.Partitions[j]
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.Offset, p.Timestamp, p.LeaderEpoch = want.Partition, -1, -1, -1
			var err error = kerr.InvalidRequest
			var found broker.Found
			if times[place{rt.Topic, want.Partition}] == 1 {
				found, err = s.listOffset(rq.ctx, rq.version, req.IsolationLevel, rt.Topic, want)
			}
			if err != nil {
				p.ErrorCode = code(err)
			} else {
				p.Offset, p.Timestamp, p.LeaderEpoch = found.Offset, found.Timestamp, found.Epoch
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (s *Server) listOffset(ctx context.Context, version int16, isolation int8, topic string, want *kmsg.ListOffsetsRequestTopicPartition) (broker.Found, error) {
	p, err := s.namedPartition(topic, want.Partition)
	if err != nil {
		return broker.Found{}, err
	}
	bounds := p.Bounds()
	if err := checkEpoch(want.CurrentLeaderEpoch, bounds.Epoch); err != nil {
		return broker.Found{}, err
	}
	if since := map[int64]int16{maxTimestamp: 7, earliestLocal: 8, latestTiered: 9, pendingTiering: 11}[want.Timestamp]; version < since || want.Timestamp < pendingTiering {
		return broker.Found{}, kerr.UnsupportedVersion
	}
	end := fetchEnd(isolation, bounds)
	none := broker.Found{Offset: -1, Timestamp: -1, Epoch: -1}
	switch want.Timestamp {
	case latest:
		return broker.Found{Offset: end, Timestamp: -1, Epoch: bounds.Epoch}, nil
	case earliest, earliestLocal:
		return broker.Found{Offset: bounds.Start, Timestamp: -1, Epoch: earliestEpoch(p, bounds)}, nil
	case latestTiered, pendingTiering:
		return none, nil
	}
	found, err := s.search(ctx, p, want.Timestamp)
	if err == nil && want.Timestamp != maxTimestamp && found.Offset >= end {
		return none, nil
	}
	return found, err
}

// search looks for a record by its time. That decompresses batches, which may
// be large: as many searches are made at a time as there are processors.
func (s *Server) search(ctx context.Context, p *broker.Partition, timestamp int64) (broker.Found, error) {
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	case <-ctx.Done():
		return broker.Found{}, context.Cause(ctx)
	}
	if timestamp == maxTimestamp {
		return s.broker.FindMaxTime(ctx, p)
	}
	return s.broker.FindTime(ctx, p, timestamp)
}

// earliestEpoch is the leader epoch of the first record, of the next one if
// there is none.
func earliestEpoch(p *broker.Partition, bounds broker.Bounds) int32 {
	if epoch := p.EpochAt(bounds.Start); epoch >= 0 {
		return epoch
	}
	return bounds.Epoch
}

// fetchEnd is the offset up to which (exclusive) a client may read.
func fetchEnd(isolation int8, bounds broker.Bounds) int64 {
	const readCommitted = 1
	if isolation == readCommitted {
		return bounds.LastStable
	}
	return bounds.HighWatermark
}
