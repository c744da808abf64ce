package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// maxOpenFiles limits the handles of files that are no longer appended to.
const maxOpenFiles = 256

// journalFile is one file of a shard's journal.
type journalFile struct {
	fileHeader
	name string // path
	size int64  // length of the file: room for slots ends here

	// Under the mutex of the table.
	first, last engine.SlotNo // 0 if it has no slot
	marked      bool          // its end mark is durable; under Trim, not the mutex
	end         int64         // where the next slot would start
	refs        int           // who reads from the handle now
	used        uint64        // when it was last asked for
	pinned      bool          // the handle stays open
	gone        bool          // trimmed, or the shard was released

	opening sync.Mutex // held while the handle is opened
	handle  File       // under the mutex of the table; nil if not open
}

func journalFileName(dir string, id engine.FileID) string {
	return filepath.Join(dir, fmt.Sprintf("%016x.wal", uint64(id)))
}

// info describes the file for those above the engine.
func (f *journalFile) info(open bool) engine.FileInfo {
	return engine.FileInfo{ID: f.file, First: f.first, Last: f.last, Bytes: f.end, Open: open}
}

// fileTable knows the journal files of a shard and lends their handles.
type fileTable struct {
	fs    FS
	limit int // how many handles may be open without need

	mu   sync.Mutex
	list []*journalFile // by id
	open *journalFile   // where the last durable slot is; nil before recovery
	tick uint64
}

// acquire lends the handle of a file until release.
func (t *fileTable) acquire(id engine.FileID) (*journalFile, error) {
	t.mu.Lock()
	f := t.find(id)
	if f == nil {
		t.mu.Unlock()
		return nil, fmt.Errorf("journal file %016x: %w", uint64(id), engine.ErrNotFound)
	}
	f.refs++
	t.tick++
	f.used = t.tick
	ready := f.handle != nil
	t.mu.Unlock()
	if ready {
		return f, nil
	}
	if err := t.ensureHandle(f); err != nil {
		t.release(f)
		return nil, err
	}
	return f, nil
}

func (t *fileTable) find(id engine.FileID) *journalFile {
	i, ok := slices.BinarySearchFunc(t.list, id, func(f *journalFile, id engine.FileID) int {
		switch {
		case f.file < id:
			return -1
		case f.file > id:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return t.list[i]
}

// ensureHandle opens the file if it is not open. The caller has it acquired.
func (t *fileTable) ensureHandle(f *journalFile) error {
	f.opening.Lock()
	defer f.opening.Unlock()
	t.mu.Lock()
	ready := f.handle != nil
	t.mu.Unlock()
	if ready {
		return nil
	}
	h, err := t.fs.Open(f.name)
	if err != nil {
		return fmt.Errorf("journal file %016x: %w", uint64(f.file), err)
	}
	t.mu.Lock()
	f.handle = h
	victim := t.victim()
	t.mu.Unlock()
	return closeHandle(victim)
}

// release gives a handle back.
func (t *fileTable) release(f *journalFile) {
	t.mu.Lock()
	f.refs--
	var h File
	if f.gone && f.refs == 0 {
		h, f.handle = f.handle, nil
	} else {
		h = t.victim()
	}
	t.mu.Unlock()
	// Nothing was written through it, so a failure to close loses nothing.
	_ = closeHandle(h)
}

// victim takes the handle that was not asked for longest if there are too many.
func (t *fileTable) victim() File {
	if len(t.list) <= t.limit {
		return nil
	}
	n := 0
	var oldest *journalFile
	for _, f := range t.list {
		if f.handle == nil || f.pinned {
			continue
		}
		n++
		if f.refs == 0 && (oldest == nil || f.used < oldest.used) {
			oldest = f
		}
	}
	if n <= t.limit || oldest == nil {
		return nil
	}
	h := oldest.handle
	oldest.handle = nil
	return h
}

func closeHandle(h File) error {
	if h == nil {
		return nil
	}
	return h.Close()
}

// remove takes files out of the table and deletes them, durably. Who has
// acquired one before can go on reading.
func (t *fileTable) remove(dir string, files []*journalFile) error {
	for _, f := range files {
		if err := t.forget(f); err != nil {
			return err
		}
		if err := t.fs.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(files) == 0 {
		return nil
	}
	return t.fs.SyncDir(dir)
}

// forget takes the file out of the table. If somebody is about to read from
// it, its handle is opened first, because the name is going to vanish.
func (t *fileTable) forget(f *journalFile) error {
	t.mu.Lock()
	t.list = slices.DeleteFunc(t.list, func(g *journalFile) bool { return g == f })
	f.refs++
	readers := f.refs > 1
	t.mu.Unlock()
	var err error
	if readers {
		err = t.ensureHandle(f)
	}
	t.mu.Lock()
	f.gone, f.pinned = true, false
	t.mu.Unlock()
	t.release(f)
	return err
}

// closeAll forgets every file without deleting it.
func (t *fileTable) closeAll() error {
	t.mu.Lock()
	list := append([]*journalFile(nil), t.list...)
	t.mu.Unlock()
	var errs []error
	for _, f := range list {
		errs = append(errs, t.forget(f))
	}
	return errors.Join(errs...)
}

// appended publishes a durable slot of f, which is the open file from now on
// and joins the table if it is new.
func (t *fileTable) appended(f *journalFile, no engine.SlotNo, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.first == 0 {
		f.first = no
	}
	f.last, f.end = no, end
	if t.open != f {
		t.open.pinned = false
		t.list = append(t.list, f)
		t.open = f
	}
}

// infos lists the files, oldest first.
func (t *fileTable) infos() []engine.FileInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	infos := make([]engine.FileInfo, len(t.list))
	for i, f := range t.list {
		infos[i] = f.info(f == t.open)
	}
	return infos
}
