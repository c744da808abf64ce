package inbox

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }

// TestBehindBeforeItsCommit: a message that is put behind another, in a transaction
// that is not committed yet when that other has its turn, is not forgotten.
func TestBehindBeforeItsCommit(t *testing.T) {
	for _, dialect := range []string{"postgres", "mysql"} { // SQLite has one writer
		for _, name := range []string{"before the turn", "during the turn"} {
			t.Run(dialect+" "+name, func(t *testing.T) { behindRound(t, dialect, name == "during the turn") })
		}
	}
}

func behindRound(t *testing.T, dialect string, during bool) {
	db, pool := sqltest.Open(t, sqltest.New(t, dialect))
	in, err := New(db, "billing", InPlace(1), Backoff(time.Microsecond, time.Microsecond))
	if err != nil {
		t.Fatal(err)
	}
	var done []string
	calls := 0
	inside, leave := make(chan struct{}), make(chan struct{})
	in.Handle("orders", "", func(_ context.Context, _ *sql.Tx, m *bus.Delivery) error {
		if calls++; calls == 1 {
			return errors.New("boom")
		}
		if during && m.ID == "1" {
			close(inside)
			<-leave
		}
		done = append(done, m.ID)
		return nil
	})
	message := func(id string) *bus.Delivery {
		return &bus.Delivery{Message: bus.Message{Topic: "orders", Key: "k", ID: id}}
	}
	if err := in.Process(t.Context(), message("1")); err != nil {
		t.Fatal(err)
	}
	turn := func() {
		if _, err := in.RetryDue(t.Context()); err != nil {
			t.Error(err)
		}
	}
	ended := make(chan struct{})
	if during {
		go func() { turn(); close(ended) }()
		<-inside
	}
	tx, err := pool.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		t.Fatal(err)
	}
	it := in.o.identity(message("2"))
	if err := in.putBehind(t.Context(), db.Bind(tx), &it); err != nil {
		t.Fatal(err)
	}
	if during {
		close(leave)
		<-ended
	} else {
		turn()
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	turn()
	if !slices.Equal(done, []string{"1", "2"}) {
		t.Errorf("done are %v", done)
	}
}
