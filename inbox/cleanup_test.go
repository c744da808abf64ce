package inbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

const day = 24 * time.Hour

// rows counts what is known.
func (l *lab) rows(table string) (n int) {
	l.t.Helper()
	if err := l.pool.QueryRow("SELECT COUNT(*) FROM waxwing_inbox_" + table).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

// TestCleanup: what is past its retention goes, page by page, except what a message
// that is put aside needs.
func TestCleanup(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(func(m *bus.Delivery) error {
			if m.ID == "dead" || m.ID == "deadseq" {
				return inbox.DeadLetter(errBoom)
			}
			return nil
		})
		c := l.db.Conn()
		for n := range 1200 {
			if _, err := c.Exec(t.Context(), "INSERT INTO waxwing_inbox_event (consumer, event_key, seen_us) VALUES (?, ?, ?)", "billing", fmt.Append(nil, n), l.clock().UnixMicro()); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Exec(t.Context(), "INSERT INTO waxwing_inbox_key (consumer, epoch, topic, msg_key, seq, seen_us) VALUES (?, ?, ?, ?, ?, ?)", "billing", "e0", "orders", fmt.Append(nil, n), 1, l.clock().UnixMicro()); err != nil {
				t.Fatal(err)
			}
		}
		l.process(in, msg("dead", "k1"), seq("deadseq", "k2", 1), seq("old", "k3", 1))
		l.process(l.inbox(nil, inbox.PerPartition()), at("p", 0, 0))
		l.pass(6 * day)
		l.process(in, msg("new", "k4"), seq("new", "k5", 1))
		if n, err := in.Cleanup(t.Context()); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		l.pass(day + time.Second)
		if n, err := in.Cleanup(t.Context()); n != 2401 || err != nil {
			t.Fatal(n, err)
		}
		if e, k, p := l.rows("event"), l.rows("key"), l.rows("position"); e != 2 || k != 2 || p != 1 {
			t.Errorf("%d events, %d keys, %d positions are left", e, k, p)
		}
		l.process(in, msg("dead", "k1"), seq("deadseq", "k2", 1), msg("new", "k4"))
		l.wantStates("dead:dead", "deadseq:dead")
		// When a dead letter is gone, its retention begins.
		if _, err := inbox.DropDeadLetters(t.Context(), l.db, inbox.Filter{Consumer: "billing"}, false); err != nil {
			t.Fatal(err)
		}
		before := l.ledger()
		l.process(in, msg("dead", "k1"), seq("deadseq", "k2", 1))
		if got := l.ledger(); len(got) != len(before) {
			t.Error(got)
		}
		if err := inbox.ForgetPositions(t.Context(), l.db, "billing", "orders"); err != nil || l.rows("position") != 0 {
			t.Error(err)
		}
	})
}
