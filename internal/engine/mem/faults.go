package mem

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
)

// Crash is a power loss. The disk fails every operation from now on, and what
// it left is on the disk that is returned: all that was synced and, as rng
// decides, any part of the rest.
func (d *Disk) Crash(rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
	return d.successor(d.root.afterPowerLoss(rng))
}

// Kill is the death of the process. The disk fails every operation from now
// on. What was written is on the disk that is returned, and what of it was
// not synced can still be lost in a Crash of that one.
func (d *Disk) Kill() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
	return d.successor(d.root.clone(map[*node]*node{}))
}

// Clone returns a copy of the disk, with what is not synced in it, and
// without locks and faults that are yet to come. The disk itself goes on.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.successor(d.root.clone(map[*node]*node{}))
}

func (d *Disk) successor(root *node) *Disk {
	next := &Disk{
		opt:    d.opt,
		rng:    rand.New(rand.NewPCG(d.rng.Uint64(), 1)),
		root:   root,
		locked: map[string]bool{},
	}
	next.each(func(_ string, n *node) { next.used += int64(len(n.cache)) })
	return next
}

// CrashAfter makes the n-th operation from now that changes something fail
// with ErrCrashed, and all after it. That operation may have happened, or a
// part of it. 0 takes the plan back.
func (d *Disk) CrashAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashAt = 0
	if n > 0 {
		d.crashAt = d.ops + n
	}
}

// Ops returns how many operations have changed something.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// FailSync makes the n-th sync of a file from now fail with ErrIO. The ones
// after it succeed, but do not write what the failed one did not. 0 takes the
// plan back.
func (d *Disk) FailSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failSync = n
}

// FailSyncDir makes the n-th sync of a folder from now fail with ErrIO. What
// it would have made durable may still be lost or kept. 0 takes the plan back.
func (d *Disk) FailSyncDir(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failDir = n
}

// SetFree makes the disk have that many bytes left. A negative number takes
// the limit away.
func (d *Disk) SetFree(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opt.Capacity = 0
	if bytes >= 0 {
		d.opt.Capacity = max(1, d.used+bytes)
	}
}

// SetReadOnly makes every change fail, as on a file system that is mounted
// read-only.
func (d *Disk) SetReadOnly(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readOnly = on
}

// Names returns the paths of all files, sorted folder by folder.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	d.each(func(name string, _ *node) { names = append(names, name) })
	return names
}

// ReadFile returns a copy of what programs see of a file.
func (d *Disk) ReadFile(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.walk(name)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return slices.Clone(n.cache), nil
}

// WriteFile replaces the content of a file, or makes one, durably, as somebody
// with access to the disk might. nil removes the file.
func (d *Disk) WriteFile(name string, content []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err := d.walk(path.Dir(name))
	if err != nil {
		return pathError("write", name, err)
	}
	base := path.Base(name)
	if old := dir.entries[base]; old != nil {
		d.unlinked(old)
	}
	if content == nil {
		delete(dir.entries, base)
		delete(dir.durable, base)
		return nil
	}
	n := &node{cache: slices.Clone(content), stored: slices.Clone(content), names: 1}
	dir.entries[base], dir.durable[base] = n, n
	d.used += int64(len(content))
	return nil
}

// FlipBit inverts one bit of a stored file.
func (d *Disk) FlipBit(name string, bit int64) error {
	content, err := d.ReadFile(name)
	if err != nil {
		return err
	}
	if bit < 0 || bit/8 >= int64(len(content)) {
		return fmt.Errorf("%s has no bit %d", name, bit)
	}
	content[bit/8] ^= 1 << (bit % 8)
	return d.WriteFile(name, content)
}

// each calls fn for every file.
func (d *Disk) each(fn func(name string, n *node)) {
	var visit func(dir string, n *node)
	visit = func(dir string, n *node) {
		for _, name := range slices.Sorted(maps.Keys(n.entries)) {
			child := n.entries[name]
			if child.isDir() {
				visit(path.Join(dir, name), child)
			} else {
				fn(path.Join(dir, name), child)
			}
		}
	}
	visit("/", d.root)
}
