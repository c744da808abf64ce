package broker

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// damagedMax is how many places of damage are remembered.
const damagedMax = 1000

// damage remembers what reads have found damaged. Each place is logged once:
// consumers come back to it again and again. And a fetch that would meet it in
// the midst of its response is refused that partition instead.
type damage struct {
	some   atomic.Bool // there is any
	mu     sync.Mutex
	logged map[string]bool
	pieces map[piece]bool
}

func newDamage() *damage { return &damage{logged: map[string]bool{}, pieces: map[piece]bool{}} }

// readError makes damage that a read has found an *Error, and logs it.
func (b *Broker) readError(err error) error {
	var d *engine.ErrDamaged
	if !errors.As(err, &d) || isKind(err, Damaged) {
		return err
	}
	if b.damage.isNew(d.Error()) {
		b.cfg.Logger.Error("a read met damage; restore the folder from a backup", "error", err)
	}
	return &Error{Kind: Damaged, Text: d.Error(), cause: err}
}

func (d *damage) isNew(text string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.logged[text] {
		return false
	}
	if len(d.logged) >= damagedMax {
		clear(d.logged)
	}
	d.logged[text] = true
	return true
}

// note remembers that a piece, of which only file, pos and n count, does not hold
// what it should.
func (d *damage) note(x piece) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pieces) >= damagedMax {
		clear(d.pieces)
	}
	d.pieces[x] = true
	d.some.Store(true)
}

// check says whether pieces touch what is known to be damaged.
func (d *damage) check(pieces []piece) error {
	if !d.some.Load() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for bad := range d.pieces {
		for _, x := range pieces {
			if x.file == bad.file && x.pos < bad.pos+bad.n && bad.pos < x.pos+x.n {
				return errf(Damaged, "data file %016x is damaged between offset %d and %d", uint64(bad.file), bad.pos, bad.pos+bad.n)
			}
		}
	}
	return nil
}

// damagedAt is damage of a data file.
func damagedAt(file engine.FileID, pos int64, err error) error {
	return &engine.ErrDamaged{Path: fmt.Sprintf("data file %016x", uint64(file)), Off: pos, Reason: err.Error()}
}
