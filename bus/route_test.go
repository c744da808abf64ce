package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
)

// A refuser is a publisher that takes all but some messages.
type refuser struct {
	system string
	refuse string // id
	broken error  // for all
	got    *[]string
}

func (r *refuser) System() string { return r.system }

func (r *refuser) Publish(_ context.Context, msgs []bus.Message) error {
	if r.broken != nil {
		return r.broken
	}
	e := &bus.PublishError{Errs: make([]error, len(msgs))}
	failed := false
	for i, m := range msgs {
		if m.ID == r.refuse {
			e.Errs[i], failed = errors.New("refused"), true
			continue
		}
		*r.got = append(*r.got, m.ID)
	}
	if !failed {
		return nil
	}
	return e
}

// TestRoute: each message goes where its topic goes, in order, and each publisher's
// answers are those of its messages.
func TestRoute(t *testing.T) {
	var events, commands []string
	kafka, amqp := &refuser{system: "kafka", got: &events}, &refuser{system: "rabbitmq", got: &commands}
	to := bus.Route("kafka", func(topic string) bus.Publisher {
		if topic == "commands" {
			return amqp
		}
		return kafka
	})
	msgs := []bus.Message{{Topic: "events", ID: "0"}, {Topic: "commands", ID: "1"}, {Topic: "events", ID: "2"}, {Topic: "commands", ID: "3"}}
	if err := to.Publish(t.Context(), msgs); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(events, commands, to.System()); got != "[0 2] [1 3] kafka\n" {
		t.Fatal(got)
	}
	kafka.refuse = "2"
	err := to.Publish(t.Context(), msgs)
	for i, want := range []bool{false, false, true, false} {
		if got := bus.Failed(err, i) != nil; got != want {
			t.Errorf("message %d failed: %t, want %t (%v)", i, got, want, err)
		}
	}
	kafka.refuse, amqp.broken = "", errors.New("gone")
	err = to.Publish(t.Context(), msgs)
	for i, want := range []bool{false, true, false, true} {
		if got := bus.Failed(err, i) != nil; got != want {
			t.Errorf("without AMQP, message %d failed: %t, want %t (%v)", i, got, want, err)
		}
	}
}
