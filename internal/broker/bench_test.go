package broker_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// BenchmarkAppend appends requests of 1,000 records of 1 KB, synced, with
// three in flight: to one partition as one batch each, and record by record
// to 10,000 partitions in turn. The bytes per request are the same.
func BenchmarkAppend(b *testing.B) {
	b.Run("partitions=1", func(b *testing.B) { benchmarkAppend(b, 1, 1, 1000) })
	b.Run("partitions=10000", func(b *testing.B) { benchmarkAppend(b, 10_000, 1000, 1) })
}

func benchmarkAppend(b *testing.B, partitions, batches, records int) {
	eng, err := disk.Open(disk.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer eng.Close()
	br, err := broker.Open(context.Background(), broker.Config{Engine: eng})
	if err != nil {
		b.Fatal(err)
	}
	defer br.Close()
	tp, err := br.CreateTopic(context.Background(), broker.TopicSpec{Name: "bench", Partitions: partitions})
	if err != nil {
		b.Fatal(err)
	}
	const inFlight = 3
	var spec record.BatchSpec
	for range records {
		spec.Records = append(spec.Records, record.Record{Timestamp: 1_700_000_000_000, Value: make([]byte, 1024)})
	}
	free := make(chan *broker.AppendRequest, inFlight)
	for range inFlight {
		req := &broker.AppendRequest{Items: make([]broker.AppendItem, batches), Done: func(r *broker.AppendRequest) { free <- r }}
		for i := range req.Items {
			req.Items[i].Batch = record.Append(nil, spec)
		}
		free <- req
	}
	b.SetBytes(1000 * 1024)
	next := 0
	for b.Loop() {
		req := <-free
		for i := range req.Items {
			it := &req.Items[i]
			if it.Err != nil {
				b.Fatal(it.Err)
			}
			info, err := record.Validate(it.Batch, record.ValidateOptions{})
			if err != nil {
				b.Fatal(err)
			}
			it.Header = info.Header
			it.Partition = tp.Partitions[next%partitions]
			next++
		}
		br.Append(context.Background(), req)
	}
	for range inFlight {
		<-free
	}
}

// BenchmarkPlan plans fetches of 64 KB from the middle of a partition.
func BenchmarkPlan(b *testing.B) {
	for _, records := range []int{1, 100} {
		b.Run(fmt.Sprintf("records-per-batch=%d", records), func(b *testing.B) {
			eng, err := disk.Open(disk.Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer eng.Close()
			br, err := broker.Open(context.Background(), broker.Config{Engine: eng})
			if err != nil {
				b.Fatal(err)
			}
			defer br.Close()
			tp, err := br.CreateTopic(context.Background(), broker.TopicSpec{Name: "bench", Partitions: 1})
			if err != nil {
				b.Fatal(err)
			}
			fill(b, br, tp.Partitions[0], records, 20_000/records)
			p := tp.Partitions[0]
			high := p.Bounds().HighWatermark
			b.ReportAllocs()
			offset := int64(0)
			for b.Loop() {
				plan, err := br.Plan(context.Background(), p, offset, high, 64<<10, true)
				if err != nil || plan.Bytes() == 0 {
					b.Fatal(plan.Bytes(), err)
				}
				plan.Close()
				offset = (offset + 37) % high
			}
		})
	}
}

func fill(b *testing.B, br *broker.Broker, p *broker.Partition, records, batches int) {
	var spec record.BatchSpec
	for range records {
		spec.Records = append(spec.Records, record.Record{Timestamp: 1_700_000_000_000, Value: make([]byte, 200)})
	}
	done := make(chan struct{})
	for range batches {
		batch := record.Append(nil, spec)
		h, err := record.ReadHeader(batch)
		if err != nil {
			b.Fatal(err)
		}
		br.Append(context.Background(), &broker.AppendRequest{
			Items: []broker.AppendItem{{Partition: p, Batch: batch, Header: h}},
			Done:  func(*broker.AppendRequest) { done <- struct{}{} },
		})
		<-done
	}
}
