package kafka_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/kafka"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// BenchmarkProduceCheck is what a produce costs its connection before the
// broker has it: header, shape, decoding, checksum, records.
func BenchmarkProduceCheck(b *testing.B) {
	for _, c := range []struct{ partitions, records, size int }{{1, 1, 1000}, {1, 100, 1000}, {100, 1, 100}} {
		b.Run(fmt.Sprintf("partitions=%d,records=%d,bytes=%d", c.partitions, c.records, c.size), func(b *testing.B) {
			bk, kc := newBroker(b)
			n := &node{Broker: bk}
			topic := n.topic(b, "orders", c.partitions)
			s := kafka.New(kc)
			req := kmsg.NewPtrProduceRequest()
			req.Acks = -1
			rt := kmsg.ProduceRequestTopic{TopicID: topic.ID}
			spec := record.BatchSpec{}
			for range c.records {
				spec.Records = append(spec.Records, record.Record{Timestamp: time.Now().UnixMilli(), Value: make([]byte, c.size)})
			}
			for i := range c.partitions {
				rt.Partitions = append(rt.Partitions, kmsg.ProduceRequestTopicPartition{Partition: int32(i), Records: record.Append(nil, spec)})
			}
			req.Topics = append(req.Topics, rt)
			frame := encode(req, 13, 1)[4:]
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if got, err := s.CheckProduce(frame); err != nil || got != c.partitions {
					b.Fatal(got, err)
				}
			}
		})
	}
}

// BenchmarkProduce is a whole request and its response, one after the other
// and 16 at a time, on one connection of loopback.
func BenchmarkProduce(b *testing.B) {
	for _, pipelined := range []int{1, 16} {
		b.Run(fmt.Sprintf("pipelined=%d", pipelined), func(b *testing.B) {
			n := start(b)
			n.topic(b, "orders", 1)
			conn := n.dial(b)
			conn.SetDeadline(time.Time{})
			frame := encode(requestsFor(b, n, "orders").produce(fmt.Sprintf("%1000d", 1)), 13, 1)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			open := 0
			for b.Loop() {
				if _, err := conn.Write(frame); err != nil {
					b.Fatal(err)
				}
				if open++; open == pipelined {
					if _, err := conn.frame(); err != nil {
						b.Fatal(err)
					}
					open--
				}
			}
		})
	}
}

// BenchmarkFetchEncode is the head of a response about so many partitions.
func BenchmarkFetchEncode(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			encode := kafka.FetchEncoding(n)
			b.ReportAllocs()
			for b.Loop() {
				b.SetBytes(encode())
			}
		})
	}
}

// BenchmarkFetch is a whole fetch of 1 MiB on loopback.
func BenchmarkFetch(b *testing.B) {
	n := start(b)
	topic := n.topic(b, "orders", 1)
	value := fmt.Sprintf("%1000d", 1)
	values := make([]string, 100)
	for i := range values {
		values[i] = value
	}
	for range 11 {
		put(b, n, topic, values...)
	}
	conn := n.dial(b)
	conn.SetDeadline(time.Time{})
	frame := encode(requestsFor(b, n, "orders").fetch(0), 13, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(frame); err != nil {
			b.Fatal(err)
		}
		head, err := conn.br.Peek(4)
		if err != nil {
			b.Fatal(err)
		}
		size := int64(head[0])<<24 | int64(head[1])<<16 | int64(head[2])<<8 | int64(head[3])
		if _, err := io.CopyN(io.Discard, conn.br, 4+size); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(size)
	}
}

// BenchmarkMetadata is all topics: 1,000 with 10 partitions each.
func BenchmarkMetadata(b *testing.B) {
	bk, kc := newBroker(b)
	n := &node{Broker: bk}
	for i := range 1000 {
		n.topic(b, fmt.Sprintf("topic-%d", i), 10)
	}
	kc.Advertised = func() (string, int32) { return "127.0.0.1", 9092 }
	s := kafka.New(kc)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(s.AppendMetadata(nil))))
	}
}
