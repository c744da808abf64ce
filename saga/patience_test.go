package saga_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/saga"
)

// TestRepliesWaitForTheirDefinition: a reply to an instance whose definition the
// engine does not know yet, as while a release is being replaced, is tried again once a
// minute for as long as that takes. It does not become a dead letter, which would take
// an operator to have the saga go on.
func TestRepliesWaitForTheirDefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newer, def := newDesk(t, sqltest.New(t, "sqlite")), checkout(2)
		older := *newer
		older.engine(saga.Clock(time.Now), saga.Poll(24*time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wires, ended := newMemBus(), make(chan error, 1)
		go func() { ended <- older.eng.Run(ctx, wires) }()
		synctest.Wait()

		register(t, newer, def)
		if err := start(newer, def, "o1", order{}); err != nil {
			t.Fatal(err)
		}
		newer.look("o1 reserve action 1")
		m := newer.sent["o1 reserve action 1"]
		m.Topic, m.ID, m.Type, m.Headers = "replies", "reply", saga.ReplyType, slices.Clone(m.Headers)
		m.SetHeader(saga.HeaderOutcome, []byte("ok"))
		if err := wires.Publish(ctx, []bus.Message{m}); err != nil {
			t.Fatal(err)
		}

		const patience = 25 * time.Minute // an inbox by itself makes 20 attempts
		time.Sleep(patience)
		aside, err := inbox.ListDeadLetters(ctx, newer.db, inbox.Filter{All: true})
		if err != nil || len(aside) != 1 {
			t.Fatal(aside, err)
		}
		if d := aside[0]; d.State != "retry" || d.Attempts < 22 {
			t.Errorf("after %v and %d attempts the reply is %q: %s", patience, d.Attempts, d.State, d.Reason)
		}
		register(t, &older, def)
		time.Sleep(2 * time.Minute)
		newer.is("o1", "running", "reserve done", "charge sent", "ship ")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
