package sqltx

import (
	"errors"
	"testing"
	"time"
)

// TestTurnWait: who has waited for its turn for long enough may try again.
func TestTurnWait(t *testing.T) {
	d := stdDriver{turn: make(chan struct{}, 1), turnWait: time.Millisecond}
	if err := d.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.take(t.Context()); !errors.Is(err, errTurn) || !Transient(err) {
		t.Errorf("the second has its turn, too: %v", err)
	}
	d.give()
	if err := d.take(t.Context()); err != nil {
		t.Error(err)
	}
}
