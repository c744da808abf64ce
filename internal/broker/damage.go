package broker

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// damagedMax is how many places of damage are remembered.
const damagedMax = 1000

// damage remembers what reads have found damaged. Each place is logged once:
// consumers come back to it again and again. And a fetch gets what comes before
// it, and then an error, instead of a response that breaks off.
type damage struct {
	some   atomic.Bool // there is any
	mu     sync.Mutex
	logged map[string]bool
	pieces map[piece]bool
}

func newDamage() *damage { return &damage{logged: map[string]bool{}, pieces: map[piece]bool{}} }

// isDamage says whether a read failed because of what is stored, and will again.
func isDamage(err error) bool {
	var d *engine.ErrDamaged
	return errors.As(err, &d) || errors.Is(err, syscall.EIO)
}

// readError makes damage that a read has found an *Error, and logs it.
func (b *Broker) readError(err error) error {
	if !isDamage(err) || isKind(err, Damaged) {
		return err
	}
	text := err.Error()
	if errors.Is(err, syscall.EIO) {
		text += "; " + engine.DamageAdvice // the system does not say it
	}
	if b.damage.isNew(text) {
		b.cfg.Logger.Error("a read met damage", "error", text)
	}
	return &Error{Kind: Damaged, Text: text, cause: err}
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

// note remembers that a file does not hold what it should from one position to
// another. Its batches before that are whole.
func (d *damage) note(file engine.FileID, from, to int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pieces) >= damagedMax {
		clear(d.pieces)
	}
	d.pieces[piece{file: file, pos: from, n: to - from}] = true
	d.some.Store(true)
}

// first is the number of the first of some pieces that touches damage, and what
// it touches first; -1 if none does.
func (d *damage) first(pieces []piece) (int, piece) {
	if !d.some.Load() {
		return -1, piece{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, x := range pieces {
		found := piece{pos: math.MaxInt64}
		for bad := range d.pieces {
			if x.file == bad.file && x.pos < bad.pos+bad.n && bad.pos < x.pos+x.n && bad.pos < found.pos {
				found = bad
			}
		}
		if found.n > 0 {
			return i, found
		}
	}
	return -1, piece{}
}

// damagedAt is damage of a data file.
func damagedAt(file engine.FileID, pos int64, err error) error {
	return &engine.ErrDamaged{Path: fmt.Sprintf("data file %016x", uint64(file)), Off: pos, Reason: err.Error()}
}
