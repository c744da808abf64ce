package datafile

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// rewriter writes a rewritten file. In the old files the extents of a log lie
// far apart. So it plans a window of extents in the order of the new file,
// reads them in the order of the old files, and then writes them.
type rewriter struct {
	x       *Index
	ctx     context.Context
	id      engine.FileID
	data    engine.BlobWriter
	idxBlob engine.BlobWriter
	idx     *idxWriter

	read   int64 // bytes
	parts  []part
	window []byte // the bytes of parts, one behind the other
	size   int64  // of the window
	buf    []byte // what is read at once

	out  []byte // what comes next in the new file: frames and extents
	pos  int64  // where out begins
	last group  // the last one in out

	holes []LogID // of which something was left out
}

// group becomes one extent of the new file; it may still grow.
type group struct {
	extent Extent // no bytes: there is none
	frame  int    // where its frame is in out
	run    logRun
}

func (x *Index) newRewriter(ctx context.Context, id engine.FileID) (*rewriter, error) {
	data, err := x.cfg.Blobs.Create(dataName(x.cfg.Shard, id))
	if err != nil {
		return nil, err
	}
	idxBlob, err := x.cfg.Blobs.Create(idxName(x.cfg.Shard, id))
	if err != nil {
		data.Abort()
		return nil, err
	}
	w := &rewriter{x: x, ctx: ctx, id: id, data: data, idxBlob: idxBlob, pos: pageBytes}
	if w.idx, err = newIdxWriter(idxBlob, id); err == nil {
		_, err = data.Write(formatData.header(id))
	}
	if err != nil {
		w.abort()
		return nil, err
	}
	return w, nil
}

func (w *rewriter) abort() {
	w.data.Abort()
	w.idxBlob.Abort()
}

// add takes the extents sorted by log and offset, and the run that they are of.
func (w *rewriter) add(p Place, r logRun) error {
	if w.size > 0 && w.size+p.Bytes > w.x.cfg.WindowBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.parts = append(w.parts, part{Place: p, at: w.size, run: r})
	w.size += p.Bytes
	return nil
}

// flush reads, checks and writes the window.
func (w *rewriter) flush() error {
	w.window = slices.Grow(w.window[:0], int(w.size))[:w.size]
	if err := w.fill(); err != nil {
		return err
	}
	for i := range w.parts {
		p := &w.parts[i]
		put, bytes := w.put, w.window[p.at:p.at+p.Bytes]
		if w.x.cfg.Split != nil && p.Count > 1 && (p.run.holes || p.Base < p.run.start) {
			put = w.putLive
		}
		if err := put(p.Extent, p.run, bytes); err != nil {
			return fmt.Errorf("%s: %w", fileName(w.x.cfg.Shard, p.File), err)
		}
	}
	w.parts, w.size = w.parts[:0], 0
	return nil
}

// putLive writes the batches of an extent of which anything is live.
func (w *rewriter) putLive(e Extent, r logRun, bytes []byte) error {
	for len(bytes) > 0 {
		b, err := w.x.cfg.Split(e, bytes)
		if err != nil {
			return err
		}
		b.Log, b.Pos = e.Log, e.Pos
		if b.Bytes == e.Bytes {
			b.Count = e.End() - b.Base // nothing comes behind it
		}
		if b.check() != nil || b.Base < e.Base || b.End() > e.End() || b.Bytes > e.Bytes {
			return fmt.Errorf("log %d: an extent from offset %d was split into one of %d offsets and %d bytes from offset %d",
				e.Log, e.Base, b.Count, b.Bytes, b.Base)
		}
		// The extent has passed, but another cut could leave out what is live.
		if err := w.x.cfg.Verify(b, bytes[:b.Bytes]); err != nil {
			return fmt.Errorf("log %d: split at offset %d: %w", b.Log, b.Base, err)
		}
		if w.isLive(b, r) {
			if err := w.put(b, r, bytes[:b.Bytes]); err != nil {
				return err
			}
		}
		bytes = bytes[b.Bytes:]
		e.Count, e.Base = e.End()-b.End(), b.End()
		e.Bytes, e.Pos = e.Bytes-b.Bytes, e.Pos+b.Bytes
	}
	return nil
}

// isLive asks about an extent, and notes a hole where it leaves one.
func (w *rewriter) isLive(e Extent, r logRun) bool {
	if e.End() <= r.start {
		return false
	}
	live := w.x.isLive(e.Log, max(e.Base, r.start), e.End())
	if !live {
		w.holes = append(w.holes, e.Log)
	}
	return live
}

// put writes an extent, as part of the one before it if it goes on where that
// one ends.
func (w *rewriter) put(e Extent, r logRun, bytes []byte) error {
	g := &w.last.extent
	free := room(w.pos + int64(len(w.out)))
	if g.Bytes > 0 && e.Log == g.Log && e.Base == g.End() && g.Bytes+e.Bytes <= w.x.cfg.RewriteMergeBytes &&
		g.Count+e.Count <= MaxExtentCount && e.Bytes <= free {
		g.Count += e.Count
		g.Bytes += e.Bytes
		g.MaxTime = max(g.MaxTime, e.MaxTime)
		w.out = append(w.out, bytes...)
		return nil
	}
	if err := w.endGroup(); err != nil {
		return err
	}
	e.Pos = w.pos + int64(len(w.out)) + frameBytes
	if e.Bytes > room(e.Pos) {
		return errors.New("the file would be larger than 4 GiB")
	}
	w.last = group{extent: e, frame: len(w.out), run: r}
	w.out = append(w.out, make([]byte, frameBytes)...)
	if e.Bytes >= w.x.cfg.RewriteMergeBytes {
		return w.putAlone(bytes)
	}
	w.out = append(w.out, bytes...)
	return nil
}

// putAlone ends the last group with bytes, which are all that it has: they may
// be many, and are not copied.
func (w *rewriter) putAlone(bytes []byte) error {
	g := w.last
	w.last = group{}
	if err := w.putFrame(g, bytes); err != nil {
		return err
	}
	if err := w.flushOut(); err != nil {
		return err
	}
	w.pos += int64(len(bytes))
	return w.write(bytes)
}

// endGroup ends the last group, and writes when there is enough.
func (w *rewriter) endGroup() error {
	g := w.last
	if g.extent.Bytes == 0 {
		return nil
	}
	w.last = group{}
	if err := w.putFrame(g, w.out[g.frame+frameBytes:]); err != nil {
		return err
	}
	if len(w.out) < maxIO {
		return nil
	}
	return w.flushOut()
}

// putFrame fills in the frame of a group.
func (w *rewriter) putFrame(g group, bytes []byte) error {
	f := frame{dataSum: crc32.Checksum(bytes, castagnoli), extent: g.extent}
	f.put(w.out[g.frame:])
	return w.idx.add(g.extent, false, g.run)
}

func (w *rewriter) flushOut() error {
	if err := w.write(w.out); err != nil {
		return err
	}
	w.pos += int64(len(w.out))
	w.out = w.out[:0]
	return nil
}

func (w *rewriter) write(p []byte) error {
	for chunk := range slices.Chunk(p, maxIO) {
		if err := w.x.wait(w.ctx, len(chunk)); err != nil {
			return err
		}
		if _, err := w.data.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// commit makes the file and its .idx durable. It returns nil, and writes
// nothing, if nothing was added.
func (w *rewriter) commit() (*idx, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	if err := w.endGroup(); err != nil {
		return nil, err
	}
	if w.idx.count.extents == 0 {
		return nil, nil
	}
	var end [frameBytes]byte
	frame{extent: Extent{Log: LogID(w.idx.count.extents), Base: int64(w.idx.count.dataBytes)}}.put(end[:])
	w.out = append(w.out, end[:]...)
	if err := w.flushOut(); err != nil {
		return nil, err
	}
	sum, err := w.idx.finish()
	if err != nil {
		return nil, err
	}
	if err := w.data.Commit(); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if err := w.idxBlob.Commit(); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	name := idxName(w.x.cfg.Shard, w.id)
	return &idx{key: w.x.store.keys.Add(1), name: name, file: w.id, sum: sum, blocks: w.idx.count.blocks}, nil
}
