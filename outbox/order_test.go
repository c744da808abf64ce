package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestIDsAreInTheOrderOfCommits: transactions that meet nowhere but in the outbox
// commit the events of a key in the order of their ids. When one has committed, no
// lower id of its key may come any more: an inbox would skip it.
func TestIDsAreInTheOrderOfCommits(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, _ := sqltest.Open(t, d)
		if late := writeTogether(t, db, outbox.New(db)); late > 0 {
			t.Errorf("%d events were committed after one of their key with a higher id", late)
		}
	})
}

// TestWithoutLocksIDsAreNot: the test above can fail.
func TestWithoutLocksIDsAreNot(t *testing.T) {
	for _, dialect := range []string{"postgres", "mysql"} {
		t.Run(dialect, func(t *testing.T) {
			db, _ := sqltest.Open(t, sqltest.New(t, dialect))
			if late := writeTogether(t, db, outbox.New(db, outbox.CallerLocks())); late == 0 {
				t.Error("nothing was committed late: the test proves nothing")
			}
		})
	}
}

// writeTogether has several writers publish events of few keys, and counts those
// that were committed when a higher id of their key had been seen.
func writeTogether(t *testing.T, db *sqldb.DB[*sql.Tx], ob *outbox.Outbox[*sql.Tx]) (late int) {
	t.Helper()
	const writers, each, keys = 8, 25, 3
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var seen sync.WaitGroup
	highest, known := map[string]int64{}, map[int64]bool{}
	look := func() {
		if err := sqltx.Each(t.Context(), db.Conn(), "SELECT id, msg_key FROM waxwing_outbox ORDER BY id", nil, func(read func(...any) error) error {
			var id int64
			var key []byte
			if err := read(&id, &key); err != nil {
				return err
			}
			if !known[id] && id < highest[string(key)] {
				late++
			}
			known[id], highest[string(key)] = true, max(id, highest[string(key)])
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	seen.Go(func() {
		for ctx.Err() == nil {
			look()
		}
	})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				err := db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
					err := ob.Publish(ctx, tx, outbox.Event{Topic: "t", Key: fmt.Sprint("k", rand.IntN(keys)), Type: "e"})
					time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
					return err
				})
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	stop()
	seen.Wait()
	look()
	if len(known) != writers*each {
		t.Errorf("%d events, want %d", len(known), writers*each)
	}
	return late
}
