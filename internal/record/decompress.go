package record

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	// bufferStart is what a decoder's buffer begins with, in bytes.
	bufferStart = 64 << 10
	// bufferKeep is the largest buffer that a pooled decoder keeps.
	bufferKeep = 4 << 20
	// zstdWindowMax is the window of zstd's highest level. It costs nothing:
	// decoding a whole block at once, the output itself is the window.
	zstdWindowMax = 128 << 20
	// zstdBlockMax is what one zstd block, of at least zstdBlockMin bytes,
	// can decompress to.
	zstdBlockMax = 128 << 10
	zstdBlockMin = 4
	// zstdSlack is room in which any one block can be decoded.
	zstdSlack = zstdBlockMax + 64
)

// decoder decompresses the records of a batch into a buffer that it owns.
// The codecs' own state is made at first use. One caller at a time.
type decoder struct {
	buf  []byte // the output; grows with what really comes out
	src  bytes.Reader
	gzip *gzip.Reader
	lz4  *lz4.Reader
	zstd *zstd.Decoder
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decoding bounds how many buffers hostile batches can fill at once. More
// decoders than processors would not decompress faster.
var decoding = make(chan struct{}, runtime.GOMAXPROCS(0))

// acquireDecoder waits for a processor's worth of decoding. Nothing that can
// block may happen before releaseDecoder.
func acquireDecoder() *decoder {
	decoding <- struct{}{}
	return decoders.Get().(*decoder)
}

func releaseDecoder(d *decoder) {
	d.recycle()
	<-decoding
}

// recycle gives d, and what it returned, back to the pool.
func (d *decoder) recycle() {
	d.src.Reset(nil)
	if cap(d.buf) > bufferKeep {
		d.buf = nil
	}
	decoders.Put(d)
}

// decompress returns the decompressed src. The result belongs to d and is
// valid until its next use. It fails with TooLarge if the result has more
// than limit bytes, with InvalidRecord if src is not one whole well-formed
// stream of the codec. Memory grows with the output, not with what a header
// in src announces.
func (d *decoder) decompress(c Codec, src []byte, limit int) (plain []byte, err error) {
	switch c {
	case Gzip:
		plain, err = d.gunzip(src, limit)
	case Snappy:
		plain, err = d.unsnappy(src, limit)
	case LZ4:
		plain, err = d.unlz4(src, limit)
	case Zstd:
		plain, err = d.unzstd(src, limit)
	default:
		return nil, batchError(UnsupportedCompression, "unknown codec %d", c)
	}
	switch {
	case err == nil:
		return plain, nil
	case errors.Is(err, errLimit):
		return nil, batchError(TooLarge, "records exceed %d bytes decompressed", limit)
	}
	return nil, batchError(InvalidRecord, "%v: %v", c, err)
}

var (
	errLimit     = errors.New("decompressed size exceeds the limit")
	errMalformed = errors.New("malformed stream")
)

func (d *decoder) gunzip(src []byte, limit int) ([]byte, error) {
	d.src.Reset(src)
	if d.gzip == nil {
		d.gzip = new(gzip.Reader)
	}
	if err := d.gzip.Reset(&d.src); err != nil {
		return nil, err
	}
	return d.readAll(d.gzip, limit)
}

func (d *decoder) unlz4(src []byte, limit int) ([]byte, error) {
	if !isLZ4Frame(src) {
		return nil, errMalformed
	}
	d.src.Reset(src)
	if d.lz4 == nil {
		d.lz4 = lz4.NewReader(nil)
		if err := d.lz4.Apply(lz4.ConcurrencyOption(1)); err != nil {
			return nil, err
		}
	}
	d.lz4.Reset(&d.src)
	return d.readAll(d.lz4, limit)
}

// unzstd tries with the buffer at hand and doubles it while it is too small:
// the decoder would otherwise allocate whatever the frame announces. When it
// runs out of room inside a block its error does not say so; but with room
// for one more block than it has delivered, the error is of the stream.
func (d *decoder) unzstd(src []byte, limit int) ([]byte, error) {
	if err := d.makeZstd(); err != nil {
		return nil, err
	}
	limit = min(limit, (len(src)/zstdBlockMin+1)*zstdBlockMax)
	roomMax := limit + zstdSlack
	for {
		d.grow(0, roomMax)
		room := min(cap(d.buf), roomMax)
		plain, err := d.zstd.DecodeAll(src, d.buf[:0:room])
		switch {
		case err == nil && len(plain) <= limit:
			return plain, nil
		case err == nil:
			return nil, errLimit
		case room-len(plain) >= zstdSlack && !errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return nil, err
		case room == roomMax:
			return nil, errLimit
		}
		d.grow(room, roomMax)
	}
}

func (d *decoder) makeZstd() (err error) {
	if d.zstd == nil {
		d.zstd, err = zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(zstdWindowMax),
			zstd.WithDecodeAllCapLimit(true))
	}
	return err
}

// readAll reads r to its end, into d.buf.
func (d *decoder) readAll(r io.Reader, limit int) ([]byte, error) {
	n := 0
	for {
		d.grow(n, limit+1) // one more, to tell the end from too much
		m, err := r.Read(d.buf[n:min(cap(d.buf), limit+1)])
		n += m
		switch {
		case n > limit:
			return nil, errLimit
		case err == io.EOF:
			return d.buf[:n], nil
		case err != nil:
			return nil, err
		}
	}
}

// grow makes room for more than the first n bytes of d.buf, which it keeps,
// by doubling; max is the most that will ever be needed.
func (d *decoder) grow(n, max int) {
	if cap(d.buf) > n {
		d.buf = d.buf[:cap(d.buf)]
		return
	}
	size := min(2*n, max)
	if size < bufferStart {
		size = bufferStart
	}
	buf := make([]byte, size)
	copy(buf, d.buf[:n])
	d.buf = buf
}
