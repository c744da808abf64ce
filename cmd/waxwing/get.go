package main

import (
	"bufio"
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// get holds the flags of `waxwing get`.
type get struct {
	conn  amqpConnection
	count int
	then  *enumValue
	json  bool
}

// getSettleEvery is how many messages are printed before they are
// acknowledged.
const getSettleEvery = 100

// fewerMessages is the error of a get that found fewer messages than it was to
// get. It has an exit code of its own.
type fewerMessages struct {
	queue     string
	got, want int
}

func (e *fewerMessages) Error() string {
	if e.got == 0 {
		return fmt.Sprintf("queue %q is empty", e.queue)
	}
	return fmt.Sprintf("queue %q had %d of %s", e.queue, e.got, count(e.want, "message"))
}

func newGetCommand() *cobra.Command {
	g := get{then: newEnum("ack", "reject", "requeue")}
	cmd := &cobra.Command{
		Use:     "get QUEUE",
		GroupID: groupData,
		Short:   "Take messages from an AMQP queue and print them",
		Long: `Takes messages from a queue and prints their bodies, one per line, or with --json one
object per line with properties and headers, as "waxwing publish --json" reads it.

What has been printed is acknowledged; with --then reject it is rejected, so that it
is dead-lettered if the queue says so; with --then requeue it stays in the queue.

It does not wait for messages: the exit code is 2 if the queue had fewer than
--count, and 1 after any other error. --count 0 takes all there are.`,
		Example: `  waxwing get orders
  waxwing get orders --count 10 --then requeue --json
  waxwing get dead --count 0 --json | waxwing publish orders --json`,
		Args: cobra.ExactArgs(1),
		RunE: g.run,
	}
	cmd.Flags().IntVarP(&g.count, "count", "n", 1, "messages to get (0: all there are)")
	addEnum(cmd, g.then, "then", "", "what becomes of them")
	cmd.Flags().BoolVar(&g.json, "json", false, "print messages as JSON, one per line")
	g.conn.addTo(cmd)
	return cmd
}

func (g *get) run(cmd *cobra.Command, args []string) error {
	if g.count < 0 {
		return fmt.Errorf("--count must not be negative")
	}
	s, err := g.conn.open(cmd.Context())
	if err != nil {
		return err
	}
	defer s.close()
	w := bufio.NewWriter(cmd.OutOrStdout())
	got, err := g.getAll(cmd.Context(), s, args[0], w)
	if err == nil && got < g.count && cmd.Context().Err() == nil {
		err = &fewerMessages{args[0], got, g.count}
	}
	return err
}

// getAll gets and prints until there are enough, there is none, or a signal
// comes. What was printed when it fails is back in the queue, unless it was
// settled.
func (g *get) getAll(ctx context.Context, s *amqpSession, queue string, w *bufio.Writer) (got int, err error) {
	last := uint64(0) // the last tag that is not settled
	for (g.count == 0 || got < g.count) && ctx.Err() == nil {
		var d amqp.Delivery
		var ok bool
		err := s.within(func() (err error) {
			d, ok, err = s.ch.Get(queue, false)
			return err
		})
		if err != nil {
			return got, queueError(queue, err)
		}
		if !ok {
			break
		}
		if g.json {
			err = writeDelivery(w, queue, &d)
		} else {
			_, err = w.Write(append(d.Body, '\n'))
		}
		if err != nil {
			return got, err
		}
		got++
		last = d.DeliveryTag
		if got%getSettleEvery == 0 && g.then.value != "requeue" {
			if err := g.settle(s, w, last); err != nil {
				return got, err
			}
			last = 0
		}
	}
	if err := g.settle(s, w, last); err != nil {
		return got, err
	}
	return got, queueError(queue, s.within(s.finish))
}

// settle makes sure that everything is printed, and settles up to last, if it
// is not 0.
func (g *get) settle(s *amqpSession, w *bufio.Writer, last uint64) error {
	if err := w.Flush(); err != nil || last == 0 {
		return err
	}
	switch g.then.value {
	case "reject":
		return s.ch.Nack(last, true, false)
	case "requeue":
		return s.ch.Nack(last, true, true)
	}
	return s.ch.Ack(last, true)
}
