package datafile

import (
	"math"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// idx is what RAM keeps of an .idx blob.
type idx struct {
	key    uint64 // of its pages in the cache; unique in the process
	name   string
	file   engine.FileID
	sum    uint32 // of the trailer
	blocks uint32
}

// openIdx checks header and trailer of an .idx.
func (s *store) openIdx(name string, file engine.FileID) (*idx, trailer, error) {
	size, err := s.size(name)
	if err != nil {
		return nil, trailer{}, err
	}
	if size < 2*pageBytes || size%pageBytes != 0 {
		return nil, trailer{}, damaged(name, 0, "%d bytes are no whole pages", size)
	}
	p := make([]byte, pageBytes)
	if err := s.read(name, p, 0); err != nil {
		return nil, trailer{}, err
	}
	if err := formatIdx.check(p, name, file); err != nil {
		return nil, trailer{}, err
	}
	pages := uint64(size / pageBytes)
	if err := s.read(name, p, size-pageBytes); err != nil {
		return nil, trailer{}, err
	}
	if _, reason := checkPage(p, file, pages-1, kindTrailer); reason != "" {
		return nil, trailer{}, damaged(name, size-pageBytes, "%s", reason)
	}
	t := getTrailer(p)
	fences := pagesOf(t.blocks, fencesPerPage)
	if uint64(t.fencePages) != fences || t.shares > t.entries ||
		2+uint64(t.blocks)+fences+pagesOf(t.entries, entriesInPage)+pagesOf(t.shares, sharesInPage) != pages {
		return nil, trailer{}, damaged(name, size-pageBytes, "the trailer does not fit %d pages", pages)
	}
	return &idx{key: s.keys.Add(1), name: name, file: file, sum: le.Uint32(p), blocks: t.blocks}, t, nil
}

// pagesOf is how many pages n records take, of which per are in each.
func pagesOf(n uint32, per uint64) uint64 { return (uint64(n) + per - 1) / per }

// directory reads all lines of the directory, with their shares, and checks
// that they make sense.
func (s *store) directory(x *idx, t trailer) ([]entry, error) {
	dir := make([]entry, 0, t.entries)
	first := 1 + uint64(t.blocks) + uint64(t.fencePages)
	var extents, bytes uint64
	err := s.records(x, kindDirectory, first, t.entries, entryBytes, func(p []byte) string {
		e := getEntry(p)
		reason := checkEntry(e, dir, t.blocks)
		dir = append(dir, e)
		extents += uint64(e.extents)
		bytes += uint64(e.bytes)
		return reason
	})
	if err != nil {
		return nil, err
	}
	if extents != t.extents || bytes != t.dataBytes {
		return nil, damaged(x.name, int64(first)*pageBytes, "the directory does not add up to the trailer")
	}
	next := uint32(0) // line that the next share may be of
	err = s.records(x, kindShare, first+pagesOf(t.entries, entriesInPage), t.shares, shareBytes, func(p []byte) string {
		line, live := le.Uint32(p), le.Uint32(p[4:])
		if line < next || line >= t.entries || live == 0 || live >= dir[line].count {
			return "a share is out of bounds"
		}
		dir[line].live = live
		next = line + 1
		return ""
	})
	return dir, err
}

// records calls fn for each of n records of a fixed size, which begin at page
// first. fn says what is wrong with one.
func (s *store) records(x *idx, kind byte, first uint64, n uint32, size uint64, fn func(p []byte) string) error {
	const chunk = 64 // pages read at once
	per := pageSpace / size
	pages := pagesOf(n, per)
	buf := make([]byte, min(pages, chunk)*pageBytes)
	for at := range pages {
		if at%chunk == 0 {
			if err := s.read(x.name, buf[:min(chunk, pages-at)*pageBytes], int64(first+at)*pageBytes); err != nil {
				return err
			}
		}
		p := buf[at%chunk*pageBytes:][:pageBytes]
		have, reason := checkPage(p, x.file, first+at, kind)
		want := min(per, uint64(n)-at*per)
		if reason == "" && uint64(have) != want {
			reason = "wrong number of records"
		}
		for i := uint64(0); reason == "" && i < want; i++ {
			reason = fn(p[pageHeadBytes+i*size:])
		}
		if reason != "" {
			return damaged(x.name, int64(first+at)*pageBytes, "%s", reason)
		}
	}
	return nil
}

// checkEntry says what is wrong with the line that follows dir.
func checkEntry(e entry, dir []entry, blocks uint32) string {
	if e.first < 0 || e.count == 0 || e.bytes == 0 || e.extents == 0 || e.first > math.MaxInt64-int64(e.count) {
		return "a line is out of bounds"
	}
	if e.block >= blocks {
		return "a line points behind the blocks"
	}
	if len(dir) > 0 {
		last := &dir[len(dir)-1]
		if e.log < last.log || (e.log == last.log && e.first < last.next()) || e.block < last.block {
			return "lines are out of order"
		}
	}
	return ""
}

// page returns page no of x, checked, from the cache or the blob. It must not
// be written to.
func (s *store) page(x *idx, no uint64, kind byte) (p []byte, records int, err error) {
	p = s.cache.get(x.key, uint32(no))
	if p == nil {
		p = make([]byte, pageBytes)
		if err := s.readIdx(x, p, int64(no)*pageBytes); err != nil {
			return nil, 0, err
		}
		if _, reason := checkPage(p, x.file, no, kind); reason != "" {
			return nil, 0, damaged(x.name, int64(no)*pageBytes, "%s", reason)
		}
		s.cache.put(x.key, uint32(no), p)
	}
	if p[4] != kind {
		return nil, 0, damaged(x.name, int64(no)*pageBytes, "a page of kind %q where %q belongs", p[4], kind)
	}
	return p, int(le.Uint16(p[6:])), nil
}

// block opens block no.
func (s *store) block(x *idx, no uint32) (blockReader, error) {
	p, n, err := s.page(x, 1+uint64(no), kindBlock)
	if err != nil {
		return blockReader{}, err
	}
	r, ok := newBlockReader(p, n)
	if !ok {
		return blockReader{}, damagedBlock(x, no)
	}
	return r, nil
}

func damagedBlock(x *idx, no uint32) error {
	return damaged(x.name, (1+int64(no))*pageBytes, "block %d has bad extents", no)
}

func (s *store) fence(x *idx, block uint32) (fence, error) {
	no := 1 + uint64(x.blocks) + uint64(block)/fencesPerPage
	p, n, err := s.page(x, no, kindFence)
	if err != nil {
		return fence{}, err
	}
	i := int(block % fencesPerPage)
	if i >= n || n > fencesPerPage {
		return fence{}, damaged(x.name, int64(no)*pageBytes, "%d fences are too few", n)
	}
	return getFence(p[pageHeadBytes+i*fenceBytes:]), nil
}

// blockOf returns the last block whose first extent is at or below (log,
// offset), or from if there is none above it.
func (s *store) blockOf(x *idx, from uint32, log LogID, offset int64) (uint32, error) {
	lo, hi := from, x.blocks // the answer is in [lo, hi)
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		f, err := s.fence(x, mid)
		if err != nil {
			return 0, err
		}
		if f.log < log || (f.log == log && f.base <= offset) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, nil
}
