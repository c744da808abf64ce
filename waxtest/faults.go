package waxtest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/waxwing-mq/waxwing/sqldb"
)

// ErrFault is the error of a step that Faults made fail.
var ErrFault = errors.New("waxtest: this step was to fail")

// Faults makes single steps that the SDK takes in a database fail: the beginning
// of a transaction, a statement, a commit. A step fails before it happens, as if
// the process had died there, or after, as if the answer had been lost.
type Faults struct {
	mu    sync.Mutex
	at    int // the step that fails next, counted from 1; 0 for none
	after bool
	seen  int
	fired int
	where string
}

// FailingDB is a database whose steps f can make fail. Statements that the caller
// makes by itself on a transaction are not counted.
func FailingDB[TX any](db *sqldb.DB[TX]) (*sqldb.DB[TX], *Faults) {
	f := &Faults{}
	return db.Hooked(f), f
}

// FailAt has the nth step from now (the next is 1) fail, once: before it happens,
// or after.
func (f *Faults) FailAt(n int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.after, f.seen = n, after, 0
}

// Fired is how many steps were made to fail so far.
func (f *Faults) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// Before is called before each step. It is for the database only.
func (f *Faults) Before(step string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	return f.fail(step, false)
}

// After is called after each step. It is for the database only.
func (f *Faults) After(step string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail(step, true)
}

func (f *Faults) fail(step string, after bool) error {
	if f.at == 0 || f.seen != f.at || f.after != after {
		return nil
	}
	side := "before"
	if after {
		side = "after"
	}
	f.where = fmt.Sprintf("%s step %d (%s)", side, f.at, step)
	f.at = 0
	f.fired++
	return fmt.Errorf("%w: %s", ErrFault, f.where)
}
