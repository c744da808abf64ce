package disk

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A large file that is deleted in one go holds up every sync beside it: with
// 128 MB freed at once, the longest sync of 8 KB took 30 ms instead of 3. So
// the last one who has a deleted file open shortens it step by step.
const (
	freeStep = 8 << 20
	freeRest = 10 * time.Millisecond
)

// inode names a file whatever its name is.
type inode struct{ dev, ino uint64 }

// openInodes counts the handles of this process on each file. The engine's
// folders belong to one process, so nobody else has them open.
var openInodes = struct {
	// naming is held, shared, from opening a file to counting it, and alone
	// while a name is removed: whoever found the name has been counted.
	naming sync.RWMutex

	sync.Mutex
	n map[inode]int
}{n: map[inode]int{}}

type osFileExtra struct{ inode inode }

func openFile(name string, flag int) (File, error) {
	openInodes.naming.RLock()
	defer openInodes.naming.RUnlock()
	return openCounted(name, flag)
}

func openCounted(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o640)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(pathError("fstat", f, err), f.Close())
	}
	id := inode{st.Dev, st.Ino}
	openInodes.Lock()
	openInodes.n[id]++
	openInodes.Unlock()
	return osFile{f, osFileExtra{id}}, nil
}

// last gives up a handle and reports whether no other is left.
func (id inode) last() bool {
	openInodes.Lock()
	defer openInodes.Unlock()
	openInodes.n[id]--
	if openInodes.n[id] > 0 {
		return false
	}
	delete(openInodes.n, id)
	return true
}

// Close closes the file. When it is the last handle of a large deleted file,
// the space comes back soon after Close has returned.
func (o osFile) Close() error {
	if o.inode.last() && o.deletedBytes() > freeStep {
		go o.free() // ends by itself; a process that exits first has nothing to lose
		return nil
	}
	return o.f.Close()
}

// Remove deletes a file. If nobody has it open, its space is free on return.
func (osFS) Remove(name string) error {
	f, err := removeOpen(name)
	if f == nil {
		return err
	}
	if f.inode.last() && f.deletedBytes() > freeStep {
		return errors.Join(err, f.free())
	}
	return errors.Join(err, f.f.Close())
}

// removeOpen removes a name and returns a handle of the file, so that its
// space is not free yet; nil if it cannot be opened.
func removeOpen(name string) (*osFile, error) {
	openInodes.naming.Lock()
	defer openInodes.naming.Unlock()
	f, err := openCounted(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, os.Remove(name)
	}
	file := f.(osFile)
	return &file, os.Remove(name)
}

// deletedBytes is the length of a file that has no name any more, else 0.
func (o osFile) deletedBytes() int64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(o.f.Fd()), &st); err != nil || st.Nlink > 0 {
		return 0
	}
	return st.Size
}

// free gives the space of a deleted file back, step by step, and closes it.
func (o osFile) free() error {
	for size := o.deletedBytes() - freeStep; size > 0; size -= freeStep {
		if err := o.f.Truncate(size); err != nil {
			break // closing frees the rest
		}
		time.Sleep(freeRest)
	}
	return o.f.Close()
}
