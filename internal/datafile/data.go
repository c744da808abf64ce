package datafile

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// A rewritten file, after its header page, is a sequence of extents sorted by
// log and offset, each behind a frame of 40 bytes that says what it is:
//
//	page 0   4096    +40              …                          size-40
//	+--------+-------+-------+-------+-------+--- … ---+--------+-----------+
//	| header | frame | bytes | frame | bytes |         | bytes  | end frame |
//	+--------+-------+-------+-------+-------+--- … ---+--------+-----------+
//
//	0        4          8         16        24      28      32             40
//	+--------+----------+---------+---------+-------+-------+---------------+
//	| sum    | data sum | log     | base    | count | bytes | max time      |
//	+--------+----------+---------+---------+-------+-------+---------------+
//
// sum is CRC32C over the rest of the frame, data sum over the bytes behind it.
// The end frame has bytes = 0; its log is the number of extents and its base
// the number of their bytes.
const frameBytes = 40

// frame is what a data file says of the extent behind it.
type frame struct {
	dataSum uint32
	extent  Extent // without Pos
}

func (f frame) put(p []byte) {
	le.PutUint32(p[4:], f.dataSum)
	le.PutUint64(p[8:], uint64(f.extent.Log))
	le.PutUint64(p[16:], uint64(f.extent.Base))
	le.PutUint32(p[24:], uint32(f.extent.Count))
	le.PutUint32(p[28:], uint32(f.extent.Bytes))
	le.PutUint64(p[32:], uint64(f.extent.MaxTime))
	le.PutUint32(p[0:], crc32.Checksum(p[4:frameBytes], castagnoli))
}

// getFrame reports false if the checksum does not fit.
func getFrame(p []byte) (frame, bool) {
	ok := le.Uint32(p) == crc32.Checksum(p[4:frameBytes], castagnoli)
	return frame{
		dataSum: le.Uint32(p[4:]),
		extent: Extent{
			Log: LogID(le.Uint64(p[8:])), Base: int64(le.Uint64(p[16:])), Count: int64(le.Uint32(p[24:])),
			Bytes: int64(le.Uint32(p[28:])), MaxTime: int64(le.Uint64(p[32:])),
		},
	}, ok
}

// checkFrame says what is wrong with the frame and the bytes of an extent that
// were read from a rewritten file.
func checkFrame(e Extent, p, bytes []byte) string {
	f, ok := getFrame(p)
	e.Pos = 0
	switch {
	case !ok:
		return "the checksum of the frame does not fit"
	case f.extent != e:
		return fmt.Sprintf("the frame is that of log %d, offset %d, the index says log %d, offset %d",
			f.extent.Log, f.extent.Base, e.Log, e.Base)
	case f.dataSum != crc32.Checksum(bytes, castagnoli):
		return "the checksum of the extent does not fit"
	}
	return ""
}

// dataEnd opens the rewritten file id and reads its header and end frame. It
// returns the position of the end frame, and what it says.
func (x *Index) dataEnd(id engine.FileID) (end int64, extents, bytes uint64, err error) {
	name := dataName(x.cfg.Shard, id)
	size, err := x.store.size(name)
	if err != nil {
		return 0, 0, 0, err
	}
	end = size - frameBytes
	if end < pageBytes || size > MaxFileBytes {
		return 0, 0, 0, damaged(name, 0, "a data file cannot have %d bytes", size)
	}
	p := make([]byte, pageBytes)
	if err := x.store.read(name, p, 0); err != nil {
		return 0, 0, 0, err
	}
	if err := formatData.check(p, name, id); err != nil {
		return 0, 0, 0, err
	}
	if err := x.store.read(name, p[:frameBytes], end); err != nil {
		return 0, 0, 0, err
	}
	f, ok := getFrame(p)
	if !ok || f.extent.Bytes != 0 {
		return 0, 0, 0, damaged(name, end, "no end frame at the end")
	}
	return end, uint64(f.extent.Log), uint64(f.extent.Base), nil
}

// checkData checks that the data of a rewritten file is there, and as much as
// its .idx says.
func (x *Index) checkData(id engine.FileID, t trailer) error {
	end, extents, bytes, err := x.dataEnd(id)
	if err != nil {
		return err
	}
	if extents != t.extents || bytes != t.dataBytes {
		return damaged(dataName(x.cfg.Shard, id), end, "it ends with %d extents and %d bytes, the index has %d and %d",
			extents, bytes, t.extents, t.dataBytes)
	}
	return nil
}

// scanData calls fn for each extent of a rewritten file, going from frame to
// frame, without reading the data.
func (x *Index) scanData(ctx context.Context, id engine.FileID, fn func(Extent) error) error {
	end, extents, bytes, err := x.dataEnd(id)
	if err != nil {
		return err
	}
	name := dataName(x.cfg.Shard, id)
	var p [frameBytes]byte
	var last Extent
	pos := int64(pageBytes)
	for pos < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := x.store.read(name, p[:], pos); err != nil {
			return err
		}
		f, ok := getFrame(p[:])
		e := f.extent
		e.Pos = pos + frameBytes
		switch {
		case !ok:
			return damaged(name, pos, "the checksum of the frame does not fit")
		case e.check() != nil || e.Bytes > end-e.Pos:
			return damaged(name, pos, "the frame is out of bounds")
		case pos > pageBytes && (e.Log < last.Log || (e.Log == last.Log && e.Base < last.End())):
			return damaged(name, pos, "extents are out of order")
		}
		if err := fn(e); err != nil {
			return err
		}
		last = e
		pos = e.Pos + e.Bytes
		extents--
		bytes -= uint64(e.Bytes)
	}
	if pos != end || extents != 0 || bytes != 0 {
		return damaged(name, end, "the end frame does not fit what is before it")
	}
	return nil
}
