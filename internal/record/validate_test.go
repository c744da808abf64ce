package record_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// good is a valid batch of three records.
func good() []byte {
	return record.Append(nil, record.BatchSpec{Records: longRecords()[:3]})
}

// patched is good with some header fields overwritten and sealed again.
func patched(at int, field ...byte) []byte {
	b := good()
	copy(b[at:], field)
	return seal(b)
}

func be64(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }
func be32(v int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }

// withProducer is good with these producer fields and attributes.
func withProducer(attributes byte, id int64, epoch int16, sequence int32) []byte {
	b := good()
	b[22] |= attributes
	copy(b[43:], be64(id))
	binary.BigEndian.PutUint16(b[51:], uint16(epoch))
	copy(b[53:], be32(sequence))
	return seal(b)
}

// withRecords is a batch that claims count records and holds plain,
// compressed with c.
func withRecords(t testing.TB, c record.Codec, count int, plain []byte) []byte {
	b := record.Append(nil, record.BatchSpec{Records: longRecords()[:1]})[:record.HeaderLen]
	b[22] = byte(c)
	copy(b[23:], be32(int32(count-1)))
	copy(b[57:], be32(int32(count)))
	return seal(append(b, compressKgo(t, c, plain)...))
}

// rec builds the bytes of a record: parts are varints (int), raw bytes
// (string), or single bytes (byte).
func rec(parts ...any) []byte {
	body := fields(parts...)
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

func fields(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.AppendVarint(b, int64(p))
		case string:
			b = append(b, p...)
		case byte:
			b = append(b, p)
		default:
			panic(fmt.Sprintf("%T", p))
		}
	}
	return b
}

const attrs = byte(0)

func wantKind(t *testing.T, err error, kind record.Kind, reason string) {
	t.Helper()
	if record.KindOf(err) != kind {
		t.Fatalf("got %v, want %v", err, kind)
	}
	if !strings.Contains(err.Error(), reason) {
		t.Fatalf("got %q, want %q in it", err, reason)
	}
}

// TestValidateBatchFaults: faults of the batch as a whole.
func TestValidateBatchFaults(t *testing.T) {
	badCRC := good()
	badCRC[17] ^= 1
	badBody := good()
	badBody[len(badBody)-1] ^= 1
	short := good()
	copy(short[8:], be32(48))
	negative := good()
	copy(negative[8:], be32(-1))
	huge := good()
	copy(huge[8:], be32(math.MaxInt32))
	v1 := append(make([]byte, 16), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

	for _, c := range []struct {
		name   string
		b      []byte
		kind   record.Kind
		reason string
	}{
		{"nothing", nil, record.InvalidRecord, "no record batch"},
		{"one byte", good()[:1], record.Corrupt, "1 bytes"},
		{"header cut", good()[:60], record.Corrupt, "60 bytes"},
		{"records cut", good()[:len(good())-1], record.Corrupt, "cut"},
		{"length less than a header", short, record.Corrupt, "length field 48"},
		{"negative length", negative, record.Corrupt, "length field -1"},
		{"length of 2 GiB", huge, record.Corrupt, "cut"},
		{"byte after the batch", append(good(), 0), record.InvalidRecord, "1 bytes after the batch"},
		{"two batches", append(good(), good()...), record.InvalidRecord, "exactly one batch"},
		{"checksum", badCRC, record.Corrupt, "checksum"},
		{"flipped bit", badBody, record.Corrupt, "checksum"},
		{"magic 0", patched(16, 0), record.UnsupportedMagic, "magic 0"},
		{"magic 1, shorter than a v2 header", v1, record.UnsupportedMagic, "magic 1"},
		{"magic 3", patched(16, 3), record.UnsupportedMagic, "magic 3"},
		{"magic -1", patched(16, 0xff), record.UnsupportedMagic, "magic -1"},
		{"codec 5", patched(22, 5), record.UnsupportedCompression, "unknown codec 5"},
		{"codec 6", patched(22, 6), record.UnsupportedCompression, "unknown codec 6"},
		{"codec 7", patched(22, 7), record.UnsupportedCompression, "unknown codec 7"},
		{"zstd before Produce 7", withRecords(t, record.Zstd, 1, nil), record.UnsupportedCompression, "zstd"},
		{"control batch", withProducer(0x20, 1, 0, 0), record.InvalidRecord, "control"},
		{"LogAppendTime", patched(22, 0x08), record.InvalidTimestamp, "LogAppendTime"},
		{"delete horizon", patched(22, 0x40), record.InvalidRecord, "delete horizon"},
		{"producer id -2", withProducer(0, -2, 0, 0), record.InvalidRecord, "producer id -2"},
		{"producer without epoch", withProducer(0, 5, -1, 0), record.InvalidRecord, "epoch -1"},
		{"producer without sequence", withProducer(0, 5, 0, -1), record.InvalidRecord, "sequence -1"},
		{"transactional without producer", withProducer(0x10, -1, -1, -1), record.InvalidRecord, "transactional"},
		{"count 0", patched(57, be32(0)...), record.InvalidRecord, "count 0"},
		{"count -1", patched(57, be32(-1)...), record.InvalidRecord, "count -1"},
		{"count too small", patched(57, be32(2)...), record.InvalidRecord, "count 2 with last offset delta 2"},
		{"count too large", patched(57, be32(4)...), record.InvalidRecord, "count 4 with last offset delta 2"},
		{"last offset delta -1", patched(23, be32(-1)...), record.InvalidRecord, "last offset delta -1"},
		{"count wraps", patched(23, be32(math.MaxInt32)...), record.InvalidRecord, "last offset delta 2147483647"},
		{"count beyond the bytes", withRecords(t, record.None, math.MaxInt32, make([]byte, 100)), record.InvalidRecord, "cannot fit in 100 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := bytes.Clone(c.b)
			_, err := record.Validate(c.b, record.ValidateOptions{})
			wantKind(t, err, c.kind, c.reason)
			if !bytes.Equal(c.b, before) {
				t.Error("a refused batch was changed")
			}
		})
	}
}

// recordFaults are faults of records, which must be found in plain and in
// compressed batches alike.
var recordFaults = []struct {
	name   string
	count  int
	plain  []byte
	record int // that is blamed
	kind   record.Kind
	reason string
}{
	{"second record missing", 2, rec(attrs, 0, 0, 10, "keykeykeyk", -1, 0), 1, record.InvalidRecord, "record length"},
	{"length negative", 1, fields(-1, "xxxxxxx"), 0, record.InvalidRecord, "record length"},
	{"length zero", 1, fields(0, "xxxxxxx"), 0, record.InvalidRecord, "empty"},
	{"length beyond the batch", 1, fields(100, attrs, 0, 0, 1, "k", -1, 0), 0, record.InvalidRecord, "record length"},
	{"length varint too long", 1, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0}, 0, record.InvalidRecord, "record length"},
	{"length varint beyond 32 bits", 1, []byte{0x80, 0x80, 0x80, 0x80, 0x10, 0, 0}, 0, record.InvalidRecord, "record length"},
	{"length varint cut", 1, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}, 0, record.InvalidRecord, "record length"},
	{"ends after attributes", 1, append(rec(attrs), make([]byte, 6)...), 0, record.InvalidRecord, "timestamp delta"},
	{"timestamp varint too long", 1, rec(attrs, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 0, -1, -1, 0), 0, record.InvalidRecord, "timestamp delta"},
	{"ends after timestamp", 1, append(rec(attrs, 0), make([]byte, 6)...), 0, record.InvalidRecord, "offset delta"},
	{"ends after offset", 1, append(rec(attrs, 0, 0), make([]byte, 6)...), 0, record.InvalidRecord, "key"},
	{"offset delta starts at 1", 1, rec(attrs, 0, 1, -1, -1, 0), 0, record.InvalidRecord, "offset delta 1, want 0"},
	{"offset delta negative", 1, rec(attrs, 0, -1, -1, -1, 0), 0, record.InvalidRecord, "offset delta -1"},
	{"offset delta repeats", 2, append(rec(attrs, 0, 0, -1, -1, 0), rec(attrs, 0, 0, -1, -1, 0)...), 1, record.InvalidRecord, "offset delta 0, want 1"},
	{"offset delta gap", 2, append(rec(attrs, 0, 0, -1, -1, 0), rec(attrs, 0, 2, -1, -1, 0)...), 1, record.InvalidRecord, "offset delta 2, want 1"},
	{"key length -2", 1, rec(attrs, 0, 0, -2, -1, 0), 0, record.InvalidRecord, "key"},
	{"key beyond the record", 1, rec(attrs, 0, 0, 10, "k", -1, 0), 0, record.InvalidRecord, "key"},
	{"key length of 2 GiB", 1, rec(attrs, 0, 0, math.MaxInt32, "k", -1, 0), 0, record.InvalidRecord, "key"},
	{"value length -2", 1, rec(attrs, 0, 0, -1, -2, 0), 0, record.InvalidRecord, "value"},
	{"value beyond the record", 1, rec(attrs, 0, 0, -1, 10, "v", 0), 0, record.InvalidRecord, "value"},
	{"value into the next record", 2, append(rec(attrs, 0, 0, -1, 3, "v", 0), rec(attrs, 0, 1, -1, -1, 0)...), 0, record.InvalidRecord, "value"},
	{"ends after value", 1, append(rec(attrs, 0, 0, -1, -1), 0), 0, record.InvalidRecord, "header count"},
	{"header count negative", 1, rec(attrs, 0, 0, -1, -1, -1), 0, record.InvalidRecord, "header count"},
	{"header count of 2 GiB", 1, rec(attrs, 0, 0, -1, -1, math.MaxInt32), 0, record.InvalidRecord, "header key"},
	{"header key null", 1, rec(attrs, 0, 0, -1, -1, 1, -1, -1), 0, record.InvalidRecord, "header key is null"},
	{"header key length -2", 1, rec(attrs, 0, 0, -1, -1, 1, -2, -1), 0, record.InvalidRecord, "header key"},
	{"header key beyond the record", 1, rec(attrs, 0, 0, -1, -1, 1, 5, "h", -1), 0, record.InvalidRecord, "header key"},
	{"header value beyond the record", 1, rec(attrs, 0, 0, -1, -1, 1, 1, "h", 5, "v"), 0, record.InvalidRecord, "header value"},
	{"header value length -2", 1, rec(attrs, 0, 0, -1, -1, 1, 1, "h", -2), 0, record.InvalidRecord, "header value"},
	{"header value missing", 1, rec(attrs, 0, 0, -1, -1, 1, 1, "h"), 0, record.InvalidRecord, "header value"},
	{"byte after the headers", 1, rec(attrs, 0, 0, -1, -1, 1, 1, "h", -1, "x"), 0, record.InvalidRecord, "last header"},
	{"byte in place of headers", 1, rec(attrs, 0, 0, -1, -1, 0, "x"), 0, record.InvalidRecord, "last header"},
	{"byte after the last record", 1, append(rec(attrs, 0, 0, -1, -1, 0), 0), -1, record.InvalidRecord, "1 bytes after the last record"},
	{"record after the last", 1, append(rec(attrs, 0, 0, -1, -1, 0), rec(attrs, 0, 1, -1, -1, 0)...), -1, record.InvalidRecord, "after the last record"},
	{"timestamp overflows", 1, rec(attrs, math.MaxInt64, 0, -1, -1, 0), 0, record.InvalidTimestamp, "overflows"},
	{"no records", 1, nil, -1, record.InvalidRecord, "cannot fit in 0 bytes"},
}

func TestValidateRecordFaults(t *testing.T) {
	for _, c := range recordFaults {
		for _, codec := range codecs {
			t.Run(fmt.Sprintf("%s/%v", c.name, codec), func(t *testing.T) {
				b := withRecords(t, codec, c.count, c.plain)
				before := bytes.Clone(b)
				_, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
				wantKind(t, err, c.kind, c.reason)
				if e := err.(*record.Error); e.Record != c.record {
					t.Errorf("record %d is blamed, want %d", e.Record, c.record)
				}
				if !bytes.Equal(b, before) {
					t.Error("a refused batch was changed")
				}
			})
		}
	}
}

// TestValidateAccepts: odd, and allowed by the protocol.
func TestValidateAccepts(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"base offset of the client's", patched(0, be64(12345)...)},
		{"leader epoch of the client's", patched(12, be32(-1)...)},
		{"no producer, but epoch 0 and sequence 0, as KafkaJS sends", withProducer(0, -1, 0, 0)},
		{"producer", withProducer(0, 0, 0, 0)},
		{"transactional", withProducer(0x10, 7, 3, math.MaxInt32)},
		{"unused attribute bits", patched(21, 0x80)},
		{"record attributes", withRecords(t, record.None, 1, rec(byte(0xff), 0, 0, -1, -1, 0))},
		{"varints longer than need be", withRecords(t, record.None, 1, rec(attrs, "\x80\x00", "\x80\x80\x80\x80\x00", "\x81\x00", "\x81\x80\x00", "\x80\x00"))},
		{"null and empty", withRecords(t, record.None, 2, append(rec(attrs, 0, 0, -1, -1, 0), rec(attrs, 0, 1, 0, 0, 0)...))},
		{"empty header key", withRecords(t, record.None, 1, rec(attrs, 0, 0, -1, -1, 2, 0, 0, 0, -1))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := record.Validate(c.b, record.ValidateOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestValidateEveryCut: no prefix of a batch passes, nor anything that
// differs from it in one bit the checksum covers.
func TestValidateEveryCut(t *testing.T) {
	b := record.Append(nil, record.BatchSpec{Records: mixedRecords()})
	for n := range b {
		_, err := record.Validate(bytes.Clone(b[:n]), record.ValidateOptions{})
		if record.KindOf(err) == 0 {
			t.Errorf("first %d bytes: %v", n, err)
		}
	}
	for bit := 17 * 8; bit < len(b)*8; bit++ {
		flipped := bytes.Clone(b)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, err := record.Validate(flipped, record.ValidateOptions{ZstdAllowed: true}); record.KindOf(err) == 0 {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
}

func TestValidateTimestampBounds(t *testing.T) {
	const now, before, after = goldenTime, 1000, 500
	for _, c := range []struct {
		name          string
		ts            []int64
		before, after int64
		bad           int // record, -1 if none
	}{
		{"now", []int64{now}, before, after, -1},
		{"oldest", []int64{now - before}, before, after, -1},
		{"too old", []int64{now, now - before - 1}, before, after, 1},
		{"newest", []int64{now + after}, before, after, -1},
		{"too new", []int64{now, now, now + after + 1}, before, after, 2},
		{"none", []int64{-1}, before, after, -1},
		{"zero bounds", []int64{now}, 0, 0, -1},
		{"zero bounds, older", []int64{now - 1}, 0, 0, 0},
		{"zero bounds, newer", []int64{now + 1}, 0, 0, 0},
		{"Kafka's defaults, epoch", []int64{0}, math.MaxInt64, 3_600_000, -1},
		{"Kafka's defaults, tomorrow", []int64{now + 86_400_000}, math.MaxInt64, 3_600_000, 0},
		{"no bounds", []int64{math.MaxInt64}, -1, -1, -1},
		{"no bounds, oldest of all", []int64{math.MinInt64}, math.MaxInt64, math.MaxInt64, -1},
		{"far past", []int64{math.MinInt64}, before, after, 0},
		{"far future", []int64{math.MaxInt64}, before, after, 0},
		{"bounds near the limit", []int64{math.MaxInt64}, math.MaxInt64 - 1, math.MaxInt64 - 1, -1},
		{"negative", []int64{-2}, before, after, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var spec record.BatchSpec
			for _, ts := range c.ts {
				spec.Records = append(spec.Records, record.Record{Timestamp: ts})
			}
			opt := record.ValidateOptions{NowMillis: now, CheckTimestamps: true, BeforeMaxMillis: c.before, AfterMaxMillis: c.after}
			_, err := record.Validate(record.Append(nil, spec), opt)
			if c.bad < 0 {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				wantKind(t, err, record.InvalidTimestamp, fmt.Sprintf("record %d", c.bad))
			}
			for _, off := range []record.ValidateOptions{
				{NowMillis: now, BeforeMaxMillis: c.before, AfterMaxMillis: c.after},
				{NowMillis: now, BeforeMaxMillis: c.before, AfterMaxMillis: c.after, CheckTimestamps: true, LogAppendTime: true},
			} {
				if _, err := record.Validate(record.Append(nil, spec), off); err != nil {
					t.Errorf("%+v: %v", off, err)
				}
			}
		})
	}
}

func TestValidateMaxBytes(t *testing.T) {
	for _, c := range codecs {
		b := record.Append(nil, record.BatchSpec{Codec: c, Records: longRecords()})
		if _, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true, MaxBytes: len(b)}); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		_, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true, MaxBytes: len(b) - 1})
		wantKind(t, err, record.TooLarge, "limit")
	}
}

// TestValidatePatchesMaxTimestamp: a header that lies about the maximum is
// corrected, and nothing else.
func TestValidatePatchesMaxTimestamp(t *testing.T) {
	for _, c := range codecs {
		for _, lie := range []int64{0, -1, math.MaxInt64, goldenTime} {
			b := record.Append(nil, record.BatchSpec{Codec: c, Records: mixedRecords()})
			want := bytes.Clone(b)
			copy(b[35:], be64(lie))
			seal(b)
			info, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, want) {
				t.Errorf("%v, %d: batch differs from one with the right maximum", c, lie)
			}
			if h, _ := record.ReadHeader(b); info.Header != h || h.MaxTimestamp != goldenTime+100_000 {
				t.Errorf("%v, %d: %+v", c, lie, info.Header)
			}
		}
	}
}

// TestValidateNoTimestamps: without a timestamp the maximum is -1.
func TestValidateNoTimestamps(t *testing.T) {
	b := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: -1}, {Timestamp: -1}}})
	copy(b[35:], be64(5))
	info, err := record.Validate(seal(b), record.ValidateOptions{})
	if err != nil || info.MaxTimestamp != -1 {
		t.Fatal(info.MaxTimestamp, err)
	}
}

func TestLogAppendTime(t *testing.T) {
	const now = goldenTime + 999
	for _, c := range codecs {
		spec := record.BatchSpec{Codec: c, Records: mixedRecords()}
		b := record.Append(nil, spec)
		info, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true, LogAppendTime: true, NowMillis: now})
		if err != nil {
			t.Fatal(err)
		}
		stamped := record.Append(nil, spec)
		record.StampLogAppendTime(stamped, now)
		if !bytes.Equal(b, stamped) {
			t.Errorf("%v: Validate and StampLogAppendTime differ", c)
		}
		if !info.LogAppendTime() || info.MaxTimestamp != now || info.BaseTimestamp != goldenTime || !record.VerifyCRC(b) {
			t.Errorf("%v: %+v", c, info.Header)
		}
		for _, r := range recordsOf(t, b) {
			if r.Timestamp != now {
				t.Errorf("%v: record %d has timestamp %d", c, r.Offset, r.Timestamp)
			}
		}
	}
}

func TestValidateNullKeys(t *testing.T) {
	for want, records := range map[int][]record.Record{
		-1: {{Key: []byte{}}, {Key: []byte("k")}},
		0:  {{}, {Key: []byte("k")}, {}},
		2:  {{Key: []byte("k")}, {Key: []byte{}}, {}},
	} {
		info, err := record.Validate(record.Append(nil, record.BatchSpec{Records: records}), record.ValidateOptions{})
		if err != nil || info.FirstNullKey != want || info.HasNullKey() != (want >= 0) {
			t.Errorf("got %d, want %d (%v)", info.FirstNullKey, want, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := record.Validate(withRecords(t, record.None, 1, rec(attrs, 0, 3, -1, -1, 0)), record.ValidateOptions{})
	if got, want := err.Error(), "invalid record: record 0: offset delta 3, want 0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if record.KindOf(fmt.Errorf("wrapped: %w", err)) != record.InvalidRecord || record.KindOf(nil) != 0 {
		t.Error("KindOf")
	}
}
