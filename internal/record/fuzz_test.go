package record_test

import (
	"bytes"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// FuzzValidate: no input makes Validate or Iterate panic, hang or take more
// than the limit. What validates iterates, with as many records, and
// validates again unchanged. The input is tried as it is, and with length and
// checksum made right, so that the fuzzer gets past them.
func FuzzValidate(f *testing.F) {
	for _, c := range codecs {
		f.Add(record.Append(nil, record.BatchSpec{Codec: c, Records: mixedRecords()}))
	}
	for _, c := range recordFaults {
		f.Add(withRecords(f, record.None, c.count, c.plain))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		checkBatch(t, bytes.Clone(in))
		checkBatch(t, seal(bytes.Clone(in)))
		for b := range record.Batches(in) {
			if size, ok := record.PeekSize(b); !ok || size != len(b) {
				t.Fatalf("batch of %d bytes, peeked %d", len(b), size)
			}
		}
	})
}

func checkBatch(t *testing.T, b []byte) {
	opt := record.ValidateOptions{
		ZstdAllowed: true, DecompressedMax: 1 << 20,
		CheckTimestamps: true, NowMillis: goldenTime, BeforeMaxMillis: -1, AfterMaxMillis: 1 << 50,
	}
	before := bytes.Clone(b)
	info, err := record.Validate(b, opt)
	if err != nil {
		if record.KindOf(err) == 0 {
			t.Fatalf("untyped error %v", err)
		}
		if !bytes.Equal(b, before) {
			t.Fatal("a refused batch was changed")
		}
		_ = record.Iterate(b, func(record.Record) bool { return true }) // must not panic
		return
	}
	if info.DecompressedBytes > opt.DecompressedMax && info.Codec() != record.None {
		t.Fatalf("decompressed to %d bytes", info.DecompressedBytes)
	}
	checkIterates(t, b, &info)

	patched := bytes.Clone(b)
	again, err := record.Validate(b, opt)
	if err != nil || again != info || !bytes.Equal(b, patched) {
		t.Fatalf("validates only once: %+v, then %+v (%v)", info, again, err)
	}
	record.StampLogAppendTime(b, goldenTime)
	if !record.VerifyCRC(b) {
		t.Fatal("checksum after StampLogAppendTime")
	}
}

func checkIterates(t *testing.T, b []byte, info *record.Info) {
	n, firstNullKey, newest := 0, -1, int64(record.NoTimestamp)
	err := record.Iterate(b, func(r record.Record) bool {
		if r.Offset != info.BaseOffset+int64(n) {
			t.Fatalf("record %d has offset %d, base %d", n, r.Offset, info.BaseOffset)
		}
		if r.Key == nil && firstNullKey < 0 {
			firstNullKey = n
		}
		newest = max(newest, r.Timestamp)
		n++
		return true
	})
	if err != nil || n != int(info.NumRecords) || firstNullKey != info.FirstNullKey || newest != info.MaxTimestamp {
		t.Fatalf("iterates %d records, first null key %d, newest %d (%v), but %+v", n, firstNullKey, newest, err, info)
	}
}
