package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// sagaEngine is the service of the script of sagas.
type sagaEngine struct {
	db  *sqldb.DB[*sql.Tx]
	ib  *inbox.Inbox[*sql.Tx]
	eng *saga.Engine[*sql.Tx]
	def *saga.Definition[map[string]string]
}

// openSagas opens a database that may be new, with an engine for it.
func openSagas(ctx context.Context, file string) (*sagaEngine, func() error, error) {
	db, pool, err := sqldb.Open("sqlite:" + file)
	if err != nil {
		return nil, nil, err
	}
	s := &sagaEngine{db: db}
	s.ib, err = inbox.New(db, "script")
	s.eng = saga.NewEngine(db, outbox.New(db), "replies")
	build := func(map[string]string) (saga.Command, error) {
		return saga.Command{Topic: "work", Type: "do"}, nil
	}
	s.def = saga.Define[map[string]string]("checkout", 1).
		Step("reserve", build, build, saga.Attempts(1)).
		Pivot("charge", build)
	s.eng.Bind(s.ib)
	return s, pool.Close, errors.Join(err, sqldb.Migrate(ctx, db), s.eng.Register(s.def))
}

// reply is a participant's answer to a command.
func (s *sagaEngine) reply(ctx context.Context, id, step, op, outcome string) error {
	m := bus.Message{Topic: "replies", Key: id, ID: id + step + op, Type: saga.ReplyType}
	for name, value := range map[string]string{
		saga.HeaderSaga: id, saga.HeaderName: "checkout", saga.HeaderStep: step, saga.HeaderOp: op,
		saga.HeaderAttempt: "1", saga.HeaderOutcome: outcome, saga.HeaderError: "because",
	} {
		m.SetHeader(name, []byte(value))
	}
	return s.ib.Process(ctx, &bus.Delivery{Message: m})
}

// sagasCommand makes, or goes on with, sagas in a database: sagas FILE start ID ...,
// sagas FILE stick ID ..., sagas FILE engine.
func sagasCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || !slices.Contains([]string{"start", "stick", "engine"}, args[1]) {
		ts.Fatalf("usage: sagas FILE start|stick|engine ID ...")
	}
	ctx := context.Background()
	s, end, err := openSagas(ctx, filepath.Join(ts.Getenv("WORK"), args[0]))
	ts.Check(err)
	defer end()
	for _, id := range args[2:] {
		ts.Check(s.db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return saga.Start(ctx, s.eng, tx, s.def, id, map[string]string{"order": id})
		}))
		if args[1] == "stick" {
			ts.Check(s.reply(ctx, id, "reserve", "action", "ok"))
			ts.Check(s.reply(ctx, id, "charge", "action", "rejected"))
			ts.Check(s.reply(ctx, id, "reserve", "compensate", "failed"))
		}
	}
	if args[1] == "engine" {
		n, err := s.eng.FireTimers(ctx)
		ts.Check(err)
		fmt.Fprintf(ts.Stdout(), "%d\n", n)
	}
}
