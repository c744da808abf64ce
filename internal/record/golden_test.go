package record_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/record"
)

const goldenTime = 1_700_000_000_000

// mixedRecords are what the golden files "mixed" hold.
func mixedRecords() []record.Record {
	return []record.Record{
		{Timestamp: goldenTime, Key: []byte("key"), Value: []byte("value")},
		{Timestamp: goldenTime - 5, Value: []byte("no key")},
		{Timestamp: goldenTime + 100_000, Key: []byte("tombstone")},
		{Timestamp: goldenTime + 1, Key: []byte{}, Value: []byte{}},
		{Timestamp: goldenTime + 2, Key: []byte("k"), Value: []byte("v"), Headers: []record.RecordHeader{
			{Key: []byte("h1"), Value: []byte("one")},
			{Key: []byte("h1"), Value: []byte{}},
			{Key: []byte{}},
		}},
		{Timestamp: goldenTime + 3},
	}
}

// longRecords are what the golden files "long" hold.
func longRecords() []record.Record {
	var records []record.Record
	for i := range 40 {
		records = append(records, record.Record{
			Timestamp: goldenTime + int64(i),
			Key:       fmt.Appendf(nil, "key-%d", i),
			Value:     []byte(strings.Repeat(fmt.Sprintf("waxwing %d ", i), 200)),
		})
	}
	return records
}

// numbered gives records the offsets that follow base.
func numbered(records []record.Record, base int64) []record.Record {
	for i := range records {
		records[i].Offset = base + int64(i)
	}
	return records
}

func readGolden(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func goldenFiles(t testing.TB, pattern string, want int) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "golden", pattern))
	if err != nil || len(files) != want {
		t.Fatalf("%d golden files %s, want %d (%v)", len(files), pattern, want, err)
	}
	return files
}

func TestGoldenJava(t *testing.T) {
	for _, path := range goldenFiles(t, "java-*.hex", 11) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b := readGolden(t, path)
			before := bytes.Clone(b)
			info, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, before) {
				t.Error("Validate changed the batch")
			}
			want := longRecords()
			if strings.Contains(path, "mixed") {
				want = mixedRecords()
				if info.ProducerID != 4711 || info.ProducerEpoch != 3 || info.BaseSequence != 2147483645 {
					t.Errorf("producer %+v", info.Header)
				}
				if got := info.LastSequence(); got != 2 {
					t.Errorf("last sequence %d, want 2: it wraps to 0", got)
				}
				if info.MaxTimestamp != goldenTime+100_000 || info.FirstNullKey != 1 {
					t.Errorf("max timestamp %d, first null key %d", info.MaxTimestamp, info.FirstNullKey)
				}
			} else if info.HasNullKey() || info.Idempotent() {
				t.Errorf("null key at %d, producer %d", info.FirstNullKey, info.ProducerID)
			}
			if got := recordsOf(t, b); !reflect.DeepEqual(got, numbered(want, 0)) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestGoldenLibrdkafka(t *testing.T) {
	for _, path := range goldenFiles(t, "librdkafka-*.hex", 5) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b := readGolden(t, path)
			before := bytes.Clone(b)
			if _, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, before) {
				t.Error("Validate changed the batch")
			}
			want := longRecords()
			if strings.Contains(path, "none") {
				want = []record.Record{
					{Key: []byte("key-0"), Value: []byte("value")},
					{Key: nil, Value: []byte("empty")},
					{Key: nil, Value: []byte("no key")},
				}
			}
			got := recordsOf(t, b)
			if len(got) != len(want) {
				t.Fatalf("%d records, want %d", len(got), len(want))
			}
			for i, r := range got {
				header := []record.RecordHeader{{Key: []byte("h"), Value: []byte("1")}}
				if r.Offset != int64(i) || !bytes.Equal(r.Key, want[i].Key) || !bytes.Equal(r.Value, want[i].Value) ||
					!reflect.DeepEqual(r.Headers, header) {
					t.Errorf("record %d: %v", i, r)
				}
			}
		})
	}
}

// toKmsg encodes records one by one with kmsg.
func toKmsg(base int64, records []record.Record) []byte {
	var dst []byte
	for i, r := range records {
		k := kmsg.Record{TimestampDelta64: r.Timestamp - base, OffsetDelta: int32(i), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
		}
		k.Length = int32(len(k.AppendTo(nil)) - 1) // a zero length takes one byte
		dst = k.AppendTo(dst)
	}
	return dst
}

// kmsgBatch encodes a whole batch with kmsg, compressed by kgo.
func kmsgBatch(t testing.TB, c record.Codec, records []record.Record) []byte {
	t.Helper()
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1,
		Magic:                2,
		Attributes:           int16(c),
		LastOffsetDelta:      int32(len(records) - 1),
		FirstTimestamp:       records[0].Timestamp,
		MaxTimestamp:         record.NoTimestamp,
		ProducerID:           -1,
		ProducerEpoch:        -1,
		FirstSequence:        -1,
		NumRecords:           int32(len(records)),
		Records:              compressKgo(t, c, toKmsg(records[0].Timestamp, records)),
	}
	for _, r := range records {
		batch.MaxTimestamp = max(batch.MaxTimestamp, r.Timestamp)
	}
	return seal(batch.AppendTo(nil))
}

// compressKgo compresses with franz-go's client.
func compressKgo(t testing.TB, c record.Codec, plain []byte) []byte {
	t.Helper()
	codec := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}[c]
	compressor, err := kgo.DefaultCompressor(codec)
	if err != nil {
		t.Fatal(err)
	}
	if compressor == nil {
		return plain
	}
	out, _ := compressor.Compress(new(bytes.Buffer), plain)
	return bytes.Clone(out)
}

// TestKmsgToRecord: what franz-go writes validates and reads back.
func TestKmsgToRecord(t *testing.T) {
	for _, c := range codecs {
		for name, records := range map[string][]record.Record{"mixed": mixedRecords(), "long": longRecords()} {
			t.Run(fmt.Sprintf("%v/%s", c, name), func(t *testing.T) {
				b := kmsgBatch(t, c, records)
				before := bytes.Clone(b)
				info, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b, before) {
					t.Error("Validate changed the batch")
				}
				if info.Codec() != c || info.Size() != len(b) || info.DecompressedBytes != len(toKmsg(records[0].Timestamp, records)) {
					t.Errorf("%+v", info)
				}
				record.Patch(b, 1000, 5)
				if got := recordsOf(t, b); !reflect.DeepEqual(got, numbered(records, 1000)) {
					t.Errorf("got %v", got)
				}
			})
		}
	}
}

// TestRecordToKmsg: what this package writes, franz-go reads.
func TestRecordToKmsg(t *testing.T) {
	for _, c := range codecs {
		for name, records := range map[string][]record.Record{"mixed": mixedRecords(), "long": longRecords()} {
			t.Run(fmt.Sprintf("%v/%s", c, name), func(t *testing.T) {
				b := record.Append([]byte("before"), record.BatchSpec{
					BaseOffset: 77, LeaderEpoch: 3, Codec: c, Records: records, Transactional: true,
					Producer: &record.Producer{ID: 9, Epoch: 2, Sequence: 100},
				})
				b, found := bytes.CutPrefix(b, []byte("before"))
				if !found {
					t.Fatal("Append does not append")
				}
				checkKmsgReads(t, b, c, records)
			})
		}
	}
}

func checkKmsgReads(t *testing.T, b []byte, c record.Codec, records []record.Record) {
	t.Helper()
	var k kmsg.RecordBatch
	if err := k.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	plain, err := kgo.DefaultDecompressor().Decompress(k.Records, kgo.CompressionCodecType(c))
	if err != nil {
		t.Fatal(err)
	}
	if want := toKmsg(records[0].Timestamp, records); !bytes.Equal(plain, want) {
		t.Errorf("records %x, want %x", plain, want)
	}
	if k.Attributes != int16(c)|0x10 || k.FirstOffset != 77 || k.PartitionLeaderEpoch != 3 || k.Magic != 2 ||
		k.ProducerID != 9 || k.ProducerEpoch != 2 || k.FirstSequence != 100 {
		t.Errorf("header %+v", k)
	}
	crc := uint32(k.CRC)
	if got, _ := record.ReadHeader(seal(bytes.Clone(b))); got.CRC != crc || int(k.Length) != len(b)-12 {
		t.Errorf("checksum %08x, want %08x; length %d of %d", crc, got.CRC, k.Length, len(b))
	}
	// kmsg decodes and encodes to the same bytes.
	if !bytes.Equal(k.AppendTo(nil), b) {
		t.Error("kmsg encodes the batch otherwise")
	}
}
