package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/mutant"
)

// A checkpoint blob, little endian:
//
//	 0  magic "WXCP"
//	 4  u32 format version      checked before the checksums
//	 8  u32 shard
//	12  u64 slot                the state is that after this slot
//	20  u64 length of the state
//	28  u32 CRC-32C of the state
//	32  u32 CRC-32C of bytes 0..32
//	36  state                   Machine.Snapshot
const (
	checkpointMagic   = "WXCP"
	checkpointVersion = 1
	checkpointHeader  = 36
	// checkpointBytesMax bounds what a damaged length can make us read.
	checkpointBytesMax = 16 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checkpoints makes checkpoints by replay, beside the running broker, and
// knows which entries recovery may still need. One caller at a time; Safe may
// be called from anywhere.
type Checkpoints struct {
	o     Options
	slots []engine.SlotNo // good checkpoints, oldest first, at most two
	bad   []string        // damaged ones, to be deleted once there is a new good one
	safe  atomic.Uint64
}

// Safe is the slot up to which no recovery will read entries again: that of
// the older of two good checkpoints.
func (c *Checkpoints) Safe() engine.SlotNo { return engine.SlotNo(c.safe.Load()) }

// Newest is the slot of the newest good checkpoint, 0 if there is none.
func (c *Checkpoints) Newest() engine.SlotNo {
	if len(c.slots) == 0 {
		return 0
	}
	return c.slots[len(c.slots)-1]
}

func (c *Checkpoints) prefix() string { return fmt.Sprintf("%04x/checkpoint/", uint32(c.o.ID)) }

func (c *Checkpoints) name(n engine.SlotNo) string {
	return fmt.Sprintf("%s%016x", c.prefix(), uint64(n))
}

// load returns a machine restored from the newest good checkpoint, and its
// slot; a fresh machine and 0 when there is none.
func (c *Checkpoints) load() (Machine, engine.SlotNo, error) {
	names, err := c.o.Blobs.List(c.prefix())
	if err != nil {
		return nil, 0, err
	}
	var found Machine
	for i := len(names) - 1; i >= 0; i-- {
		n, m, err := c.read(names[i])
		var damaged *engine.ErrDamaged
		if errors.As(err, &damaged) {
			c.o.Logger.Warn("a checkpoint is damaged; the one before it serves", "error", damaged.Fault())
			c.bad = append(c.bad, names[i])
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		c.slots = append([]engine.SlotNo{n}, c.slots...)
		if found == nil {
			found = m
		}
	}
	if found == nil {
		return c.o.NewMachine(), 0, nil
	}
	c.settle()
	return found, c.Newest(), nil
}

// settle keeps two checkpoints and moves Safe.
func (c *Checkpoints) settle() {
	for len(c.slots) > 2 {
		if err := c.o.Blobs.Delete(c.name(c.slots[0])); err != nil {
			c.o.Logger.Warn("an old checkpoint stays", "error", err)
		}
		c.slots = c.slots[1:]
	}
	if len(c.slots) == 2 {
		c.safe.Store(uint64(c.slots[0]))
	}
}

// read opens and checks one checkpoint and restores a machine from it.
func (c *Checkpoints) read(name string) (engine.SlotNo, Machine, error) {
	b, err := c.o.Blobs.Open(name)
	if err != nil {
		return 0, nil, err
	}
	defer b.Close()
	hdr := make([]byte, checkpointHeader)
	if _, err := b.ReadAt(hdr, 0); err != nil {
		return 0, nil, &engine.ErrDamaged{Path: name, Reason: "header: " + err.Error()}
	}
	n, size, sum, err := parseCheckpointHeader(name, hdr, b.Size())
	if err != nil {
		return 0, nil, err
	}
	state := make([]byte, size)
	if _, err := b.ReadAt(state, checkpointHeader); err != nil && size > 0 {
		return 0, nil, &engine.ErrDamaged{Path: name, Off: checkpointHeader, Reason: "state: " + err.Error()}
	}
	if crc32.Checksum(state, castagnoli) != sum {
		return 0, nil, &engine.ErrDamaged{Path: name, Off: checkpointHeader, Reason: "checksum of the state"}
	}
	m := c.o.NewMachine()
	if err := m.Restore(state); errors.Is(err, engine.ErrNewer) {
		return 0, nil, fmt.Errorf("%s: %w", name, err)
	} else if err != nil {
		return 0, nil, &engine.ErrDamaged{Path: name, Off: checkpointHeader, Reason: err.Error()}
	}
	return n, m, nil
}

func parseCheckpointHeader(name string, h []byte, blobSize int64) (n engine.SlotNo, size uint64, sum uint32, err error) {
	le := binary.LittleEndian
	if len(h) < checkpointHeader || string(h[:4]) != checkpointMagic {
		return 0, 0, 0, &engine.ErrDamaged{Path: name, Reason: "not a checkpoint"}
	}
	if v := le.Uint32(h[4:]); v > checkpointVersion {
		return 0, 0, 0, fmt.Errorf("%s: format version %d, this build knows %d: %w", name, v, checkpointVersion, engine.ErrNewer)
	}
	if crc32.Checksum(h[:32], castagnoli) != le.Uint32(h[32:]) {
		return 0, 0, 0, &engine.ErrDamaged{Path: name, Reason: "checksum of the header"}
	}
	size = le.Uint64(h[20:])
	if size > checkpointBytesMax || blobSize != checkpointHeader+int64(size) {
		return 0, 0, 0, &engine.ErrDamaged{Path: name, Off: 20, Reason: "length"}
	}
	return engine.SlotNo(le.Uint64(h[12:])), size, le.Uint32(h[28:]), nil
}

// Make writes a checkpoint of the state after slot upTo, which must be
// durable: it loads the last checkpoint, applies the entries since, writes,
// and reads back what it wrote. Only a checkpoint that reads back equal
// counts. It does nothing when there is nothing new.
func (c *Checkpoints) Make(ctx context.Context, upTo engine.SlotNo) error {
	if upTo <= c.Newest() {
		return nil
	}
	m, from, err := c.o.NewMachine(), c.Newest(), error(nil)
	if from > 0 {
		if _, m, err = c.read(c.name(from)); err != nil {
			return err
		}
	}
	apply := func(s engine.Slot) error { return applyHead(m, s) }
	if err := c.o.Shard.Scan(ctx, from, upTo, apply); err != nil {
		return fmt.Errorf("replay for a checkpoint: %w", err)
	}
	for _, name := range c.bad { // one may have the new one's name
		if err := c.o.Blobs.Delete(name); err != nil {
			return err
		}
	}
	c.bad = nil
	state := m.Snapshot(nil)
	if err := c.write(upTo, state); err != nil {
		return err
	}
	if mutant.On(mutant.TrimBeforeVerify) {
		c.slots = []engine.SlotNo{upTo}
		c.safe.Store(uint64(upTo))
		return nil
	}
	if err := c.verify(upTo, state); err != nil {
		return errors.Join(err, c.o.Blobs.Delete(c.name(upTo)))
	}
	c.slots = append(c.slots, upTo)
	c.settle()
	return nil
}

func (c *Checkpoints) write(n engine.SlotNo, state []byte) error {
	w, err := c.o.Blobs.Create(c.name(n))
	if err != nil {
		return err
	}
	defer w.Abort()
	le := binary.LittleEndian
	h := append(make([]byte, 0, checkpointHeader), checkpointMagic...)
	h = le.AppendUint32(h, checkpointVersion)
	h = le.AppendUint32(h, uint32(c.o.ID))
	h = le.AppendUint64(h, uint64(n))
	h = le.AppendUint64(h, uint64(len(state)))
	h = le.AppendUint32(h, crc32.Checksum(state, castagnoli))
	h = le.AppendUint32(h, crc32.Checksum(h, castagnoli))
	if _, err := w.Write(h); err != nil {
		return err
	}
	if _, err := w.Write(state); err != nil {
		return err
	}
	return w.Commit()
}

// verify reads the checkpoint back, restores it, and compares.
func (c *Checkpoints) verify(n engine.SlotNo, state []byte) error {
	got, m, err := c.read(c.name(n))
	if err != nil {
		return err
	}
	if got != n || !bytes.Equal(m.Snapshot(nil), state) {
		return &engine.ErrDamaged{Path: c.name(n), Reason: "it does not read back as it was written"}
	}
	return nil
}
