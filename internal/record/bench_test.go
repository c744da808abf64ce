package record_test

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/record"
)

var codecs = []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}

// benchBatch is a batch of about total bytes in records of 1 KB, of which
// half compresses.
func benchBatch(total int, c record.Codec) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	spec := record.BatchSpec{Codec: c}
	for i := range max(1, total/1024) {
		value := make([]byte, 1000)
		for j := range 500 {
			value[j] = byte(rnd.Uint32())
		}
		spec.Records = append(spec.Records, record.Record{
			Timestamp: 1_700_000_000_000 + int64(i),
			Key:       fmt.Appendf(nil, "key-%08d", i),
			Value:     value,
		})
	}
	return record.Append(nil, spec)
}

func benchSizes(b *testing.B, run func(b *testing.B, batch []byte)) {
	for _, size := range []int{1 << 10, 1 << 20} {
		for _, c := range codecs {
			b.Run(fmt.Sprintf("%dKB/%v", size>>10, c), func(b *testing.B) {
				batch := benchBatch(size, c)
				b.SetBytes(int64(len(batch)))
				b.ReportAllocs()
				b.ResetTimer()
				run(b, batch)
			})
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	benchSizes(b, func(b *testing.B, batch []byte) {
		opt := record.ValidateOptions{
			ZstdAllowed: true, CheckTimestamps: true,
			NowMillis: 1_700_000_000_000, BeforeMaxMillis: 3_600_000, AfterMaxMillis: 3_600_000,
		}
		for b.Loop() {
			if _, err := record.Validate(batch, opt); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkChecksum is the part of BenchmarkValidate that cannot be saved.
func BenchmarkChecksum(b *testing.B) {
	batch := benchBatch(1<<20, record.None)
	table := crc32.MakeTable(crc32.Castagnoli)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		crc32.Checksum(batch, table)
	}
}

func BenchmarkIterate(b *testing.B) {
	benchSizes(b, func(b *testing.B, batch []byte) {
		n := 0
		for b.Loop() {
			if err := record.Iterate(batch, func(record.Record) bool { n++; return true }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/float64(b.N), "records/op")
	})
}

func BenchmarkAppend(b *testing.B) {
	benchSizes(b, func(b *testing.B, batch []byte) {
		h, err := record.ReadHeader(batch)
		if err != nil {
			b.Fatal(err)
		}
		spec := record.BatchSpec{Codec: h.Codec(), Records: recordsOf(b, batch)}
		var dst []byte
		b.ResetTimer()
		for b.Loop() {
			dst = record.Append(dst[:0], spec)
		}
	})
}

func BenchmarkPatch(b *testing.B) {
	batch := benchBatch(1<<10, record.None)
	b.ReportAllocs()
	for b.Loop() {
		record.Patch(batch, 42, 7)
	}
}

func BenchmarkStampLogAppendTime(b *testing.B) {
	batch := benchBatch(1<<20, record.None)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		record.StampLogAppendTime(batch, 42)
	}
}
