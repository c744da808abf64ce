package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
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
