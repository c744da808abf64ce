package waxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }

// A handmade is a consumer as one would write it without the SDK, with faults that
// people make.
type handmade struct {
	db      *sqldb.DB[*sql.Tx]
	ledger  *waxtest.Ledger[*sql.Tx]
	dedup   bool // a row per message, first, in the handler's transaction
	inTx    bool // the effect is in that transaction too, not in one of its own
	invents bool // acts on what nobody sent
}

func (h *handmade) process(ctx context.Context, d *bus.Delivery) error {
	e := waxtest.Effect{Consumer: "handmade", CauseID: d.ID, Key: d.Key, Version: version(d.ID)}
	return h.db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if h.dedup {
			n, err := h.db.Bind(tx).Exec(ctx, h.db.Dialect().InsertOnce("seen", "id"), d.ID)
			if err != nil || n == 0 {
				return err
			}
		}
		if h.invents {
			e.CauseID += "?"
		}
		if h.inTx {
			return h.ledger.Effect(ctx, tx, e)
		}
		return h.db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return h.ledger.Effect(ctx, tx, e) })
	})
}

// version is that of event-N among five keys.
func version(id string) int64 {
	n := 0
	for _, c := range strings.TrimPrefix(id, "event-") {
		n = n*10 + int(c-'0')
	}
	return int64(n/5 + 1)
}

// start makes a consumer with an empty ledger.
func start(t *testing.T, dialect string, h handmade) (waxtest.Consumer, *waxtest.Faults) {
	t.Helper()
	db, pool := sqltest.Open(t, sqltest.New(t, dialect))
	if _, err := pool.Exec("CREATE TABLE seen (id VARCHAR(100) PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	ledger, err := waxtest.NewLedger(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	var f *waxtest.Faults
	h.db, f = waxtest.FailingDB(db)
	h.ledger = ledger
	return waxtest.Consumer{Name: "handmade", Process: h.process, Effects: ledger.Effects}, f
}

// tortures are all that there are, by name.
var tortures = map[string]func(ctx context.Context, c waxtest.Consumer, f *waxtest.Faults, msgs []bus.Message, causes []waxtest.Cause) ([]waxtest.Violation, error){
	"duplicates": func(ctx context.Context, c waxtest.Consumer, _ *waxtest.Faults, msgs []bus.Message, causes []waxtest.Cause) ([]waxtest.Violation, error) {
		return waxtest.Duplicates(ctx, c, msgs, causes, 1)
	},
	"reordered": func(ctx context.Context, c waxtest.Consumer, _ *waxtest.Faults, msgs []bus.Message, causes []waxtest.Cause) ([]waxtest.Violation, error) {
		return waxtest.Reordered(ctx, c, msgs, causes, 1)
	},
	"zombies": func(ctx context.Context, c waxtest.Consumer, _ *waxtest.Faults, msgs []bus.Message, causes []waxtest.Cause) ([]waxtest.Violation, error) {
		return waxtest.Zombies(ctx, c, msgs, causes)
	},
	"crashes": waxtest.Crashes,
}

// TestTorture: a right consumer passes on each database, and each wrong one is
// noticed by what it gets wrong.
func TestTorture(t *testing.T) {
	for _, dialect := range sqltest.Dialects {
		for name, torture := range tortures {
			t.Run(dialect+"/"+name, func(t *testing.T) {
				c, f := start(t, dialect, handmade{dedup: true, inTx: true})
				msgs, causes := waxtest.Messages(60, 5, "orders", "placed", true, nil)
				found, err := torture(t.Context(), c, f, msgs, causes)
				if err != nil {
					t.Fatal(err)
				}
				if len(found) > 0 {
					t.Errorf("a right consumer:\n%s", waxtest.Report(found))
				}
			})
		}
	}
	for name, c := range map[string]struct {
		h       handmade
		torture string
		check   string
	}{
		"no dedup, duplicates":    {handmade{inTx: true}, "duplicates", "each effect once"},
		"no dedup, order":         {handmade{inTx: true}, "reordered", "order per key"},
		"no dedup, zombies":       {handmade{inTx: true}, "zombies", "each effect once"},
		"no dedup, crashes":       {handmade{inTx: true}, "crashes", "each effect once"},
		"effect beside, crashes":  {handmade{dedup: true}, "crashes", "each effect once"},
		"effect without a cause":  {handmade{dedup: true, inTx: true, invents: true}, "zombies", "no effect without a cause"},
		"too few for all crashes": {handmade{dedup: true, inTx: true}, "few crashes", "faults fired"},
	} {
		t.Run(name, func(t *testing.T) {
			dialect, n := "postgres", 60 // SQLite has no second transaction beside the first
			consumer, f := start(t, dialect, c.h)
			if c.torture == "few crashes" {
				c.torture, n = "crashes", 2
			}
			msgs, causes := waxtest.Messages(n, 5, "orders", "placed", false, nil)
			found, err := tortures[c.torture](t.Context(), consumer, f, msgs, causes)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range found {
				if v.Check == c.check {
					return
				}
			}
			t.Errorf("not noticed as %q:\n%s", c.check, waxtest.Report(found))
		})
	}
}

// TestCrashesWithoutTheFaults: a consumer on another database than that of the
// faults proves nothing, and that is said.
func TestCrashesWithoutTheFaults(t *testing.T) {
	c, _ := start(t, "sqlite", handmade{dedup: true, inTx: true})
	msgs, causes := waxtest.Messages(10, 5, "orders", "placed", true, nil)
	found, err := waxtest.Crashes(t.Context(), c, &waxtest.Faults{}, msgs, causes)
	if err != nil || len(found) != 1 || found[0].Check != "faults fired" {
		t.Fatal(found, err)
	}
}

// TestAConsumerThatFailsForEver ends with its error.
func TestAConsumerThatFailsForEver(t *testing.T) {
	boom := errors.New("boom")
	c := waxtest.Consumer{Name: "c", Process: func(context.Context, *bus.Delivery) error { return boom }}
	msgs, causes := waxtest.Messages(1, 1, "t", "e", true, nil)
	if _, err := waxtest.Zombies(t.Context(), c, msgs, causes); !errors.Is(err, boom) {
		t.Fatal(err)
	}
}
