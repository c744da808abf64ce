package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sealtest"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// deadLetters handles messages in a database, each of which fails, and the keys of
// which are k1, k2 …: dead-letters FILE CONSUMER N. With 0 it tries what is replayed,
// which fails again.
func deadLetters(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: dead-letters FILE CONSUMER N")
	}
	db, pool, err := sqldb.Open("sqlite:" + ts.MkAbs(args[0]))
	ts.Check(err)
	defer pool.Close()
	in, err := inbox.New(db, args[1])
	ts.Check(err)
	in.Handle("orders", "", func(context.Context, *sql.Tx, *bus.Delivery) error {
		return inbox.DeadLetter(errors.New("no such customer"))
	})
	n := 0
	_, err = fmt.Sscan(args[2], &n)
	ts.Check(err)
	for i := range n {
		m := bus.Message{Topic: "orders", Key: fmt.Sprint("k", i+1), ID: fmt.Sprint(args[1], i+1), Type: "order.placed", Body: []byte(`{"n":1}`)}
		m.SetHeader("h", []byte{0xff})
		ts.Check(in.Process(context.Background(), &bus.Delivery{Message: m}))
	}
	_, err = in.RetryDue(context.Background())
	ts.Check(err)
}

// TestShowSealed: of a sealed message that is put aside only public parts are shown.
func TestShowSealed(t *testing.T) {
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(t.TempDir(), "app.db"))
	if err == nil {
		err = sqldb.Migrate(t.Context(), db)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	c := sealtest.New(t, time.Now)
	orders, billing := sealtest.Endpoint(c, db, "orders"), sealtest.Endpoint(c, db, "billing")
	in, err := inbox.New(db, "billing", inbox.Seal(billing), inbox.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	in.Handle("payments", "", func(_ context.Context, _ *sql.Tx, m *bus.Delivery) error {
		if string(m.Body) != "card 4111" {
			t.Errorf("%q", m.Body)
		}
		return inbox.DeadLetter(errors.New("no such customer"))
	})
	m := bus.Message{Topic: "payments", Key: "k1", ID: "1", Type: "paid", Body: []byte("card 4111"), Headers: []bus.Header{{Name: "tenant", Value: []byte("card 4111")}}}
	if err := db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return orders.Seal(ctx, tx, "billing", &m) }); err != nil {
		t.Fatal(err)
	}
	if err := in.Process(t.Context(), &bus.Delivery{Message: m}); err != nil {
		t.Fatal(err)
	}
	l, err := inbox.ShowDeadLetter(t.Context(), db, 1)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printLetter(&out, l); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no such customer", "sealed:        handshake, profile signal-v4", "by orders for billing, lane 1", "content type:  " + seal.ContentType} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not shown", want)
		}
	}
	if strings.Contains(out.String(), "4111") || strings.Contains(out.String(), "WXS") {
		t.Error("too much is shown")
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
