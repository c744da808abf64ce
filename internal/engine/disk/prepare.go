package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// How much is filled with zeros between two syncs, in bytes: little while the
// journal has time, much when it waits for the file. Each sync holds up the
// journal's own for as long as the device needs for the chunk.
const (
	fillChunk       = 1 << 20
	fillChunkUrgent = 16 << 20
)

// At outrunBytesPerSec the journal writes so much that filling, which doubles
// what goes to the device, costs more than it gives: slots are large then, and
// what a sync takes longer in space that was only reserved (0.15 ms) does not
// matter to them. outrunAfter is how long that is watched at least.
const (
	outrunBytesPerSec = 150 << 20
	outrunAfter       = 20 * time.Millisecond
)

// errFilledEnough says that the rest of a file is used as it was reserved.
var errFilledEnough = errors.New("filled enough")

// fill is a file that is being filled.
type fill struct {
	done     int64 // bytes
	reserved bool  // the space of all of it is there, filled or not
	began    time.Time
	used     float64 // of the open file when it began
}

// outrun says whether the journal, which has used that part of the open file by
// now, is too quick for the filling.
func (f *fill) outrun(used float64, now time.Time, fileBytes int64) bool {
	took := now.Sub(f.began)
	return took >= outrunAfter && (used-f.used)*float64(fileBytes) > outrunBytesPerSec*took.Seconds()
}

var zeros [fillChunk]byte

// draft is a journal file that is to be made.
type draft struct {
	fileHeader
	size int64  // length of the file in bytes
	slot []byte // the first slot as it stands in the file, or nil
	// pace is called after each chunk that was filled and synced. It may sleep,
	// says how large the next chunk is, fails to give up, or ends the filling
	// with errFilledEnough, if all the space is reserved. nil fills at full
	// speed and syncs once.
	pace func(*fill) (next int64, err error)
	used float64 // of the open file, for pace
}

// errNamed says that a file got its name but perhaps not durably. It cannot
// be taken back, so no other file may follow.
var errNamed = errors.New("journal file may not be durable under its name")

// prepare makes the file: filled with zeros, because that is what makes later
// syncs cheap, synced, and only then under its name. It returns the file with
// its handle open.
func (d *draft) prepare(fsys FS, dir string) (*journalFile, error) {
	name := journalFileName(dir, d.file)
	f, err := fsys.Create(name + tempSuffix)
	if err != nil {
		return nil, fmt.Errorf("prepare journal file: %w", err)
	}
	err = d.fill(f)
	if err == nil {
		err = fsys.Rename(name+tempSuffix, name)
	}
	if err != nil {
		err = errors.Join(err, f.Close())
		if e := fsys.Remove(name + tempSuffix); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return nil, fmt.Errorf("prepare journal file: %w", err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errNamed, err), f.Close())
	}
	return &journalFile{
		fileHeader: d.fileHeader,
		name:       name,
		size:       d.size,
		end:        pageBytes,
		handle:     f,
		pinned:     true,
	}, nil
}

// fill writes the whole content and syncs it.
func (d *draft) fill(f File) error {
	if err := f.Preallocate(d.size); err != nil {
		return err
	}
	page := make([]byte, pageBytes)
	d.encode(page)
	if _, err := f.WriteAt(page, 0); err != nil {
		return err
	}
	from := int64(pageBytes)
	if d.slot != nil {
		if _, err := f.WriteAt(d.slot, from); err != nil {
			return err
		}
		from += int64(len(d.slot))
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	progress := fill{reserved: size >= d.size, began: time.Now(), used: d.used}
	err = fillZeros(f, from, d.size, &progress, d.pace)
	if err != nil && (!errors.Is(err, errFilledEnough) || !progress.reserved) {
		return err
	}
	return f.Sync()
}

// fillZeros writes zeros from one offset to another.
func fillZeros(f File, from, to int64, progress *fill, pace func(*fill) (int64, error)) error {
	unsynced, chunk := int64(0), int64(fillChunk)
	for from < to {
		n := min(to-from, fillChunk)
		if _, err := f.WriteAt(zeros[:n], from); err != nil {
			return err
		}
		from += n
		unsynced += n
		if pace == nil || unsynced < chunk {
			continue
		}
		// One sync of the whole file would hold up those of the journal for
		// as long as the device needs for all of it.
		if err := f.Sync(); err != nil {
			return err
		}
		unsynced, progress.done = 0, from
		var err error
		if chunk, err = pace(progress); err != nil {
			return err
		}
	}
	return nil
}

// nextDraft is the continuation that follows file prev.
func (s *shard) nextDraft(id, prev engine.FileID) (draft, error) {
	salt, err := s.e.random()
	if err != nil {
		return draft{}, err
	}
	return draft{
		fileHeader: fileHeader{
			shard: s.id,
			file:  id,
			epoch: s.epoch,
			kind:  continuation,
			salt:  salt,
			prev:  chainEnd{file: prev},
		},
		size: s.e.opt.FileBytes,
	}, nil
}
