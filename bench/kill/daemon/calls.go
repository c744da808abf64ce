package daemon

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const requestTimeoutMillis = 30_000

// CreateTopic creates a topic that keeps everything for ever.
func (c *Conn) CreateTopic(name string, partitions int32) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 4, requestTimeoutMillis
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
	forever := "-1"
	for _, key := range []string{"retention.ms", "retention.bytes"} {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &forever})
	}
	req.Topics = append(req.Topics, t)
	resp, err := c.Request(req)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// DeleteTopic deletes a topic.
func (c *Conn) DeleteTopic(name string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis, req.TopicNames = 3, requestTimeoutMillis, []string{name}
	resp, err := c.Request(req)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	return nil
}

// Batch is a record batch for one partition.
type Batch struct {
	Partition int32
	Bytes     []byte
}

// Produce appends batches to a topic with acks=all and returns the offset of
// the first record of each, in the same order.
func (c *Conn) Produce(topic string, batches []Batch) ([]int64, error) {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 8, -1, requestTimeoutMillis
	t := kmsg.ProduceRequestTopic{Topic: topic}
	for _, b := range batches {
		t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: b.Partition, Records: b.Bytes})
	}
	req.Topics = append(req.Topics, t)
	resp, err := c.Request(req)
	if err != nil {
		return nil, err
	}
	var offsets []int64
	for _, t := range resp.(*kmsg.ProduceResponse).Topics {
		for i, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("produce to partition %d of %s: %w", p.Partition, topic, err)
			}
			if i >= len(batches) || p.Partition != batches[i].Partition {
				return nil, fmt.Errorf("produce to %s: partition %d is answered out of order", topic, p.Partition)
			}
			offsets = append(offsets, p.BaseOffset)
		}
	}
	if len(offsets) != len(batches) {
		return nil, fmt.Errorf("produce to %s: %d of %d partitions are answered", topic, len(offsets), len(batches))
	}
	return offsets, nil
}

// Fetch returns the record batches of a partition from the one with offset on,
// as many as fit into about maxBytes, and the high watermark. It does not
// wait for records. The bytes are valid until the next request.
func (c *Conn) Fetch(topic string, partition int32, offset int64, maxBytes int32) ([]byte, int64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.SessionEpoch = 11, maxBytes, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, maxBytes
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := c.Request(req)
	if err != nil {
		return nil, 0, err
	}
	got := resp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return nil, 0, fmt.Errorf("fetch from %s: %w", topic, err)
	}
	if len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 {
		return nil, 0, fmt.Errorf("fetch from %s: the response does not name the partition", topic)
	}
	answer := got.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return nil, 0, fmt.Errorf("fetch from partition %d of %s, offset %d: %w", partition, topic, offset, err)
	}
	return answer.RecordBatches, answer.HighWatermark, nil
}

// HighWatermarks asks for the high watermarks of the first n partitions.
func (c *Conn) HighWatermarks(topic string, n int) ([]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 4
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range n {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = int32(p), -1
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = append(req.Topics, t)
	resp, err := c.Request(req)
	if err != nil {
		return nil, err
	}
	var ends []int64
	for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
		for i, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("high watermark of partition %d of %s: %w", p.Partition, topic, err)
			}
			if int(p.Partition) != i {
				return nil, fmt.Errorf("high watermarks of %s: partition %d is answered out of order", topic, p.Partition)
			}
			ends = append(ends, p.Offset)
		}
	}
	if len(ends) != n {
		return nil, fmt.Errorf("high watermarks of %s: %d of %d partitions are answered", topic, len(ends), n)
	}
	return ends, nil
}
