package record_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// oneRecord is the bytes of a single record with a value of n bytes.
func oneRecord(n int) []byte {
	return rec(attrs, 0, 0, -1, n, string(bytes.Repeat([]byte("waxwing "), n/8+1)[:n]), 0)
}

// rawBatch is a batch of count records whose bytes are stream as it is.
func rawBatch(t testing.TB, c record.Codec, count int, stream []byte) []byte {
	b := withRecords(t, record.None, count, stream)
	b[22] = byte(c)
	return seal(b)
}

// xerial frames blocks as the Java library does.
func xerial(lowestVersion int32, blocks ...[]byte) []byte {
	b := append([]byte("\x82SNAPPY\x00"), be32(1)...)
	b = append(b, be32(lowestVersion)...)
	for _, block := range blocks {
		b = append(append(b, be32(int32(len(block)))...), block...)
	}
	return b
}

func lz4Frame(t testing.TB, plain []byte, options ...lz4.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(options...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstdFrame(t testing.TB, plain []byte, options ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(plain, nil)
}

// zstdStream is a frame that does not say how much it holds.
func zstdStream(t testing.TB, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	last := len(plain) - 1
	for _, step := range []func() error{
		func() error { _, err := w.Write(plain[:last]); return err },
		w.Flush,
		func() error { _, err := w.Write(plain[last:]); return err },
		w.Close,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// zstdHeader is a zstd frame header with a window of 2^(10+exponent) bytes
// and a content size.
func zstdHeader(exponent byte, contentSize uint64) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xc0, exponent << 3}
	return binary.LittleEndian.AppendUint64(b, contentSize)
}

// zstdRepeat is a last block of n equal bytes.
func zstdRepeat(n uint32) []byte {
	return binary.LittleEndian.AppendUint32(nil, n<<3|1<<1|1)[:4]
}

// TestStreamsAccepted: every shape of a codec that Kafka clients write.
func TestStreamsAccepted(t *testing.T) {
	plain := oneRecord(100_000)
	half := len(plain) / 2
	gz := compressKgo(t, record.Gzip, plain)
	for _, c := range []struct {
		name   string
		codec  record.Codec
		stream []byte
	}{
		{"gzip", record.Gzip, gz},
		{"gzip, two members", record.Gzip, append(compressKgo(t, record.Gzip, plain[:half]), compressKgo(t, record.Gzip, plain[half:])...)},
		{"snappy, raw", record.Snappy, s2.EncodeSnappyBest(nil, plain)},
		{"snappy, raw, stored", record.Snappy, append(binary.AppendUvarint(nil, uint64(len(plain))), append([]byte{62 << 2, byte((len(plain) - 1) & 0xff), byte((len(plain) - 1) >> 8), byte((len(plain) - 1) >> 16)}, plain...)...)},
		{"snappy, xerial", record.Snappy, xerial(1, s2.EncodeSnappy(nil, plain[:half]), s2.EncodeSnappy(nil, nil), s2.EncodeSnappy(nil, plain[half:]))},
		{"lz4, 64 KB blocks", record.LZ4, lz4Frame(t, plain, lz4.BlockSizeOption(lz4.Block64Kb))},
		{"lz4, 4 MB blocks, all checksums, size", record.LZ4, lz4Frame(t, plain, lz4.BlockChecksumOption(true), lz4.ChecksumOption(true), lz4.SizeOption(uint64(len(plain))))},
		{"zstd, size known", record.Zstd, zstdFrame(t, plain)},
		{"zstd, size unknown", record.Zstd, zstdStream(t, plain)},
		{"zstd, two frames", record.Zstd, append(zstdFrame(t, plain[:half]), zstdFrame(t, plain[half:])...)},
		{"zstd, checksum, best", record.Zstd, zstdFrame(t, plain, zstd.WithEncoderCRC(true), zstd.WithEncoderLevel(zstd.SpeedBestCompression))},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := rawBatch(t, c.codec, 1, c.stream)
			info, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
			if err != nil {
				t.Fatal(err)
			}
			if info.DecompressedBytes != len(plain) {
				t.Errorf("%d bytes, want %d", info.DecompressedBytes, len(plain))
			}
			if r := recordsOf(t, b); len(r) != 1 || len(r[0].Value) != 100_000 {
				t.Errorf("%d records", len(r))
			}
			// Exactly what it decompresses to is allowed, less is not.
			opt := record.ValidateOptions{ZstdAllowed: true, DecompressedMax: len(plain)}
			if _, err := record.Validate(b, opt); err != nil {
				t.Error(err)
			}
			opt.DecompressedMax--
			_, err = record.Validate(b, opt)
			wantKind(t, err, record.TooLarge, "decompressed")
		})
	}
}

// TestStreamsRefused: streams that are not whole, hold more, or that not
// every client can read.
func TestStreamsRefused(t *testing.T) {
	plain := oneRecord(1000)
	gz := compressKgo(t, record.Gzip, plain)
	badGzip := bytes.Clone(gz)
	badGzip[len(badGzip)-6] ^= 1
	sn := s2.EncodeSnappy(nil, plain)
	lz := lz4Frame(t, plain, lz4.BlockChecksumOption(true), lz4.ChecksumOption(true))
	// linked is a frame that says its blocks are linked, rightly checksummed.
	linked := bytes.Clone(lz)
	linked[4] &^= 0x20
	for n := 0; n < 256; n++ {
		linked[6] = byte(n)
		if _, err := io.ReadAll(lz4.NewReader(bytes.NewReader(linked))); err == nil {
			break
		}
	}
	lzWith := func(at int, mask byte) []byte {
		b := bytes.Clone(lz)
		b[at] ^= mask
		return b
	}
	zs := zstdFrame(t, plain)
	badZstd := bytes.Clone(zs)
	badZstd[len(badZstd)-1] ^= 1
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18}, 0, 0, 0, 0)

	type refused struct {
		name   string
		codec  record.Codec
		stream []byte
	}
	cases := []refused{
		{"gzip: checksum", record.Gzip, badGzip},
		{"gzip: garbage after it", record.Gzip, append(bytes.Clone(gz), "garbage"...)},
		{"snappy: announces more", record.Snappy, append(binary.AppendUvarint(nil, 1<<20), sn[2:]...)},
		{"snappy: announces less", record.Snappy, append(binary.AppendUvarint(nil, 5), sn[2:]...)},
		{"snappy: announces 2^40", record.Snappy, append(binary.AppendUvarint(nil, 1<<40), sn[2:]...)},
		{"snappy: announcement malformed", record.Snappy, bytes.Repeat([]byte{0xff}, 20)},
		{"snappy: copy from before the start", record.Snappy, []byte{4, 0x01, 0x10}},
		{"snappy: S2 repeat", record.Snappy, []byte{10, 0, 'x', 1<<2 | 1, 1, 1, 0}},
		{"snappy: S2 stream", record.Snappy, s2.EncodeBest(nil, bytes.Repeat(plain[:200], 50))},
		{"xerial: header cut", record.Snappy, xerial(1)[:12]},
		{"xerial: lowest version 0", record.Snappy, xerial(0, sn)},
		{"xerial: lowest version -1", record.Snappy, xerial(-1, sn)},
		{"xerial: length cut", record.Snappy, append(xerial(1, sn), 0, 0)},
		{"xerial: block cut", record.Snappy, xerial(1, sn)[:30]},
		{"xerial: negative length", record.Snappy, append(xerial(1, sn), 0xff, 0xff, 0xff, 0xff)},
		{"xerial: bad block", record.Snappy, xerial(1, sn, []byte{3, 0x00})},
		{"lz4: linked blocks", record.LZ4, linked},
		{"lz4: version", record.LZ4, lzWith(4, 0x80)},
		{"lz4: reserved bit", record.LZ4, lzWith(4, 0x02)},
		{"lz4: dictionary", record.LZ4, lzWith(4, 0x01)},
		{"lz4: header checksum", record.LZ4, lzWith(6, 0x01)},
		{"lz4: block checksum", record.LZ4, lzWith(len(lz)-9, 0x01)},
		{"lz4: content checksum", record.LZ4, lzWith(len(lz)-1, 0x01)},
		{"lz4: two frames", record.LZ4, append(bytes.Clone(lz), lz...)},
		{"lz4: garbage after it", record.LZ4, append(bytes.Clone(lz), 0)},
		{"lz4: skippable frame first", record.LZ4, append(skippable, lz...)},
		{"lz4: legacy", record.LZ4, lz4Frame(t, plain, lz4.LegacyOption(true))},
		{"zstd: checksum", record.Zstd, badZstd},
		{"zstd: garbage after it", record.Zstd, append(bytes.Clone(zs), "garbage"...)},
		{"zstd: dictionary", record.Zstd, append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x01, 0, 7}, zstdRepeat(10)...)},
		{"zstd: less than announced", record.Zstd, append(zstdHeader(0, 1000), zstdRepeat(10)...)},
	}
	for codec, whole := range map[record.Codec][]byte{record.Gzip: gz, record.Snappy: sn, record.LZ4: lz, record.Zstd: zs} {
		for n := range whole {
			cases = append(cases, refused{fmt.Sprintf("%v: %d of %d bytes", codec, n, len(whole)), codec, whole[:n]})
		}
		cases = append(cases, refused{fmt.Sprintf("%v: plain records", codec), codec, plain})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := rawBatch(t, c.codec, 1, c.stream)
			_, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
			wantKind(t, err, record.InvalidRecord, "")
			if err := record.Iterate(b, func(record.Record) bool { return true }); err == nil {
				t.Error("Iterate takes it")
			}
		})
	}
}

// allocated is what f allocates, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestBombs: small batches that decompress to much are refused without
// taking much.
func TestBombs(t *testing.T) {
	const limit = 1 << 20
	plain := oneRecord(16 << 20)
	announced := append(zstdHeader(17, 63<<20), zstdRepeat(128<<10)...)
	for _, c := range []struct {
		name   string
		codec  record.Codec
		stream []byte
		kind   record.Kind
	}{
		{"gzip", record.Gzip, compressKgo(t, record.Gzip, plain), record.TooLarge},
		{"snappy", record.Snappy, s2.EncodeSnappy(nil, plain), record.TooLarge},
		{"xerial", record.Snappy, compressKgo(t, record.Snappy, plain), record.TooLarge},
		{"lz4", record.LZ4, lz4Frame(t, plain), record.TooLarge},
		{"zstd", record.Zstd, zstdFrame(t, plain), record.TooLarge},
		{"zstd, size unknown", record.Zstd, zstdStream(t, plain), record.TooLarge},
		{"zstd, announced", record.Zstd, append(zstdHeader(17, 1<<50), zstdRepeat(10)...), record.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := rawBatch(t, c.codec, 1, c.stream)
			used := allocated(func() {
				_, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true, DecompressedMax: limit})
				wantKind(t, err, c.kind, "decompressed")
			})
			// The buffer while it doubles, the codec's state, and an LZ4
			// block of 4 MB each way.
			if used > 12<<20 {
				t.Errorf("%d bytes allocated", used)
			}
		})
	}
	t.Run("zstd announces the limit in 18 bytes", func(t *testing.T) {
		b := rawBatch(t, record.Zstd, 1, announced)
		used := allocated(func() {
			_, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
			wantKind(t, err, record.TooLarge, "")
		})
		if used > 4<<20 {
			t.Errorf("%d bytes allocated", used)
		}
	})
	t.Run("snappy announces the limit in 7 bytes", func(t *testing.T) {
		b := rawBatch(t, record.Snappy, 1, append(binary.AppendUvarint(nil, 63<<20), 2<<2, 'x', 'y', 'z'))
		used := allocated(func() {
			_, err := record.Validate(b, record.ValidateOptions{})
			wantKind(t, err, record.InvalidRecord, "snappy")
		})
		if used > 4<<20 {
			t.Errorf("%d bytes allocated", used)
		}
	})
	t.Run("count", func(t *testing.T) {
		b := withRecords(t, record.Zstd, 1<<30, oneRecord(10))
		_, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true})
		wantKind(t, err, record.TooLarge, "1073741824 records")
	})
	t.Run("beyond DecompressedLimit", func(t *testing.T) {
		b := withRecords(t, record.Zstd, 1, oneRecord(record.DecompressedLimit))
		_, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true, DecompressedMax: 1 << 30})
		wantKind(t, err, record.TooLarge, "decompressed")
		err = record.Iterate(b, func(record.Record) bool { return true })
		wantKind(t, err, record.TooLarge, "decompressed")
	})
}

// TestColdDecoders: whatever the size, a decoder that has decoded nothing yet
// finds the room that it takes.
func TestColdDecoders(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{1, 1000, 65_000, 65_536, 65_537, 82_000, 131_071, 131_072, 131_073, 200_000, 1_500_000} {
		mixed := bytes.Repeat([]byte("waxwing "), size/8+1)[:size]
		for i := range mixed {
			if i&1023 < 300 {
				mixed[i] = byte(rnd.Uint32())
			}
		}
		for _, value := range [][]byte{mixed, bytes.Repeat([]byte{'x'}, size)} {
			for _, c := range codecs {
				plain := rec(attrs, 0, 0, -1, len(value), string(value), 0)
				batches := [][]byte{
					record.Append(nil, record.BatchSpec{Codec: c, Records: []record.Record{{Value: value}}}),
					withRecords(t, c, 1, plain),
				}
				if c == record.Zstd {
					batches = append(batches, rawBatch(t, c, 1, zstdStream(t, plain)))
				}
				for _, b := range batches {
					runtime.GC() // twice empties
					runtime.GC() // the pools
					if _, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true}); err != nil {
						t.Errorf("%v, %d bytes: %v", c, size, err)
					}
				}
			}
		}
	}
}

// TestValidateConcurrently: pooled decoders do not mix up batches.
func TestValidateConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 0))
			for range 50 {
				value := make([]byte, rnd.IntN(100_000))
				for i := range value {
					value[i] = byte(rnd.Uint32() & 15)
				}
				b := record.Append(nil, record.BatchSpec{
					Codec:   codecs[rnd.IntN(len(codecs))],
					Records: []record.Record{{Value: value}, {Value: value[:len(value)/2]}},
				})
				if rnd.IntN(4) == 0 { // leave a decoder in the middle of a stream
					_, _ = record.Validate(seal(b[:record.HeaderLen+(len(b)-record.HeaderLen)/2]), record.ValidateOptions{ZstdAllowed: true})
					continue
				}
				if _, err := record.Validate(b, record.ValidateOptions{ZstdAllowed: true}); err != nil {
					t.Error(err)
				}
				if r := recordsOf(t, b); !bytes.Equal(r[0].Value, value) || !bytes.Equal(r[1].Value, value[:len(value)/2]) {
					t.Error("other values came back")
				}
			}
		})
	}
	wg.Wait()
}
