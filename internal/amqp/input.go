package amqp

import (
	"io"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

const (
	// inputStart is the size of a connection's input buffer in bytes. It
	// grows to the largest frame that has begun to arrive, no further.
	inputStart = 16 << 10
	// inputKeep is the size that a buffer shrinks to when it is empty.
	inputKeep = 64 << 10
)

// input cuts what a connection reads into frames.
type input struct {
	r        io.Reader
	frameMax uint32
	buf      []byte
	from, to int // what is read and not given out: buf[from:to]
	// before is called before input waits for more bytes: whatever was
	// gathered so far goes on its way.
	before func() error
	read   bool // some octet has come since the flag was cleared
}

func newInput(r io.Reader) *input {
	return &input{r: r, frameMax: wire.FrameMaxMin, buf: make([]byte, inputStart)}
}

// header reads the eight bytes that a connection begins with. Fewer come as
// they are, with the error.
func (in *input) header() (b [wire.ProtocolHeaderLen]byte, err error) {
	for in.to < len(b) && err == nil {
		var n int
		n, err = in.r.Read(in.buf[in.to:len(b)])
		in.to += n
	}
	copy(b[:], in.buf[:in.to])
	in.from, in.to = 0, 0
	return b, err
}

// next returns the next frame. Its payload is valid until the next call.
// Frames that are no frames are a *wire.Error.
func (in *input) next() (wire.Frame, error) {
	for {
		f, n, err := wire.ParseFrame(in.buf[in.from:in.to], in.frameMax)
		if err != nil {
			return f, err
		}
		if n > 0 {
			in.from += n
			return f, nil
		}
		if err := in.fill(); err != nil {
			return f, err
		}
	}
}

// fill reads more, and makes room for the frame that has begun.
func (in *input) fill() error {
	if in.before != nil {
		if err := in.before(); err != nil {
			return err
		}
	}
	in.makeRoom()
	n, err := in.r.Read(in.buf[in.to:])
	in.to += n
	if n > 0 {
		in.read = true
		return nil
	}
	return err
}

// makeRoom moves what is left to the front. A buffer that the frame fills is
// doubled, up to what the largest frame takes; ParseFrame has checked its size.
func (in *input) makeRoom() {
	switch {
	case in.from == in.to && len(in.buf) > inputKeep:
		in.buf = make([]byte, inputStart)
	case in.from == 0 && in.to == len(in.buf):
		size := min(2*len(in.buf), int(in.frameMax)+wire.FrameOverhead)
		in.buf = append(make([]byte, 0, size), in.buf...)[:size]
		return
	default:
		copy(in.buf, in.buf[in.from:in.to])
	}
	in.to -= in.from
	in.from = 0
}
