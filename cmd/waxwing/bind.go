package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// bind holds the flags of `waxwing bind` and `waxwing unbind`.
type bind struct {
	conn       amqpConnection
	keys       []string
	toExchange bool
	arguments  argumentsValue
}

// addTo adds the flags to cmd.
func (b *bind) addTo(cmd *cobra.Command) {
	b.arguments = argumentsValue{}
	fs := cmd.Flags()
	fs.StringArrayVarP(&b.keys, "key", "k", nil, "routing key; may be repeated, one binding each (default: the empty key)")
	fs.BoolVar(&b.toExchange, "to-exchange", false, "DESTINATION is an exchange, not a queue")
	fs.VarP(b.arguments, "argument", "a", "an argument, such as x-match=any; may be repeated")
	b.conn.addTo(cmd)
}

func newBindCommand() *cobra.Command {
	var b bind
	cmd := &cobra.Command{
		Use:     "bind EXCHANGE DESTINATION",
		GroupID: groupData,
		Short:   "Bind queues to AMQP exchanges",
		Long: `Binds a queue, or with --to-exchange another exchange, to an exchange: it gets the
messages whose routing key matches --key, in a topic exchange with * for one word
and # for any number of them, or whose headers match the arguments. A binding that
is there already is no error. An exchange named list is bound by
"waxwing bind -- list QUEUE".

The value of an argument is read as JSON if it is JSON, as a text otherwise.`,
		Example: `  waxwing bind events orders --key 'order.*' --key 'refund.#'
  waxwing bind events audit --to-exchange --key '#'
  waxwing bind by-headers reports -a x-match=all -a format=pdf -a pages=10
  waxwing bind list`,
		Args: cobra.ExactArgs(2),
		RunE: b.runner("bound", "to", (*amqpSession).bind),
	}
	b.addTo(cmd)
	cmd.AddCommand(newBindListCommand())
	return cmd
}

func newUnbindCommand() *cobra.Command {
	var b bind
	cmd := &cobra.Command{
		Use:     "unbind EXCHANGE DESTINATION",
		GroupID: groupData,
		Short:   "Take bindings away again",
		Long: `Takes away what "waxwing bind" made; key and arguments must be the same. A binding
that is not there is no error.`,
		Example: `  waxwing unbind events orders --key 'order.*'
  waxwing unbind events audit --to-exchange --key '#'
  waxwing unbind by-headers reports -a x-match=all -a format=pdf -a pages=10`,
		Args: cobra.ExactArgs(2),
		RunE: b.runner("unbound", "from", (*amqpSession).unbind),
	}
	b.addTo(cmd)
	return cmd
}

// bindAction binds or unbinds one key.
type bindAction func(s *amqpSession, b *bind, source, destination, key string) error

// runner returns the command's function, which does do for each key and tells
// what is done.
func (b *bind) runner(done, preposition string, do bindAction) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		source, destination := args[0], args[1]
		kind := "queue"
		if b.toExchange {
			kind = "exchange"
		}
		keys := b.keys
		if len(keys) == 0 {
			keys = []string{""}
		}
		return b.conn.withAMQP(cmd, func(s *amqpSession) error {
			for _, key := range keys {
				if err := do(s, b, source, destination, key); err != nil {
					return fmt.Errorf("exchange %q, %s %q: %w", source, kind, destination, amqpError(err))
				}
				line := fmt.Sprintf("%s %s %s %s exchange %s", done, kind, destination, preposition, source)
				if key != "" {
					line += " with key " + key
				}
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		})
	}
}

func (s *amqpSession) bind(b *bind, source, destination, key string) error {
	if b.toExchange {
		return s.ch.ExchangeBind(destination, key, source, false, amqp.Table(b.arguments))
	}
	return s.ch.QueueBind(destination, key, source, false, amqp.Table(b.arguments))
}

func (s *amqpSession) unbind(b *bind, source, destination, key string) error {
	if b.toExchange {
		return s.ch.ExchangeUnbind(destination, key, source, false, amqp.Table(b.arguments))
	}
	return s.ch.QueueUnbind(destination, key, source, amqp.Table(b.arguments))
}
