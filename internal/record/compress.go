package record

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// encoder compresses records, at each codec's default level. One caller at a
// time.
type encoder struct {
	plain []byte // the records to compress
	gzip  *gzip.Writer
	lz4   *lz4.Writer
	zstd  *zstd.Encoder
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

func (e *encoder) recycle() {
	if cap(e.plain) > bufferKeep {
		e.plain = nil
	}
	encoders.Put(e)
}

// compress appends the compressed e.plain to dst. An unknown codec panics;
// compressing into memory cannot fail otherwise.
func (e *encoder) compress(dst []byte, c Codec) []byte {
	switch c {
	case Gzip:
		if e.gzip == nil {
			e.gzip = gzip.NewWriter(nil)
		}
		return e.stream(dst, e.gzip)
	case Snappy:
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(e.plain)))
		n := len(dst)
		return dst[:n+len(s2.EncodeSnappy(dst[n:cap(dst)], e.plain))]
	case LZ4:
		if e.lz4 == nil {
			e.lz4 = lz4.NewWriter(nil)
			// As the Java client does: small blocks, no checksum beside the
			// batch's own.
			must(e.lz4.Apply(lz4.ConcurrencyOption(1), lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false)))
		}
		return e.stream(dst, e.lz4)
	case Zstd:
		if e.zstd == nil {
			z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
			must(err)
			e.zstd = z
		}
		return e.zstd.EncodeAll(e.plain, dst)
	}
	panic(fmt.Sprintf("record: unknown codec %d", c))
}

// stream appends what w makes of e.plain to dst.
func (e *encoder) stream(dst []byte, w interface {
	io.WriteCloser
	Reset(io.Writer)
}) []byte {
	out := appender{dst}
	w.Reset(&out)
	_, err := w.Write(e.plain)
	must(err)
	must(w.Close())
	w.Reset(nil)
	return out.b
}

// appender is an io.Writer that appends.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// must panics on what cannot happen: a failure to compress into memory.
func must(err error) {
	if err != nil {
		panic("record: " + err.Error())
	}
}
