package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// publish holds the flags of `waxwing publish`.
type publish struct {
	conn       amqpConnection
	exchange   string
	body       string
	file       string
	whole      bool
	json       bool
	persistent bool
	confirm    bool
	mandatory  bool
	quiet      bool
	timestamp  string
	headers    argumentsValue
	properties amqpProperties

	base      amqpMessage // what the flags say of every message
	addressed bool        // they say where to: lines do not
}

func newPublishCommand() *cobra.Command {
	p := publish{headers: argumentsValue{}}
	cmd := &cobra.Command{
		Use:     "publish [KEY]",
		GroupID: groupData,
		Short:   "Send lines from stdin or a file as AMQP messages",
		Long: `Reads lines until the end of the input and publishes each as one message to
--exchange with the routing key KEY. Without --exchange it is the default exchange,
where KEY is the name of a queue. --body gives one message instead, and --whole
makes one message of the whole input.

With --json each line is an object as "waxwing get --json" prints it, so the two can
be joined by a pipe; only "body" (or "body_base64") is needed. Where KEY or
--exchange is given, the "exchange" and "routing_key" of lines are ignored. Properties
of a line win over those of flags.

A message counts as published when the broker has confirmed it (not with
--confirm=false), which Waxwing does when it is on disk. How many were published is
told on stderr. The first message that is refused, or with --mandatory returned because
no queue gets it, ends the command, and it exits 1.`,
		Example: `  seq 1 100 | waxwing publish numbers
  waxwing publish order.created --exchange events --body '{"id":7}' --content-type application/json
  waxwing publish jobs --file jobs.txt --mandatory --header tries=3 --expiration 60000
  waxwing get old --count 0 --json | waxwing publish new --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: p.run,
	}
	fs := cmd.Flags()
	fs.StringVarP(&p.exchange, "exchange", "x", "", "exchange to publish to (default: the default exchange)")
	fs.StringVar(&p.body, "body", "", "publish one message with this body")
	fs.StringVarP(&p.file, "file", "f", "-", "read from this file instead of stdin (-)")
	fs.BoolVar(&p.whole, "whole", false, "the whole input is one message")
	fs.BoolVar(&p.json, "json", false, "each line is a JSON object")
	fs.BoolVar(&p.persistent, "persistent", true, "messages outlive a restart of the broker (delivery mode 2)")
	fs.BoolVar(&p.confirm, "confirm", true, "wait for the broker's confirms")
	fs.BoolVar(&p.mandatory, "mandatory", false, "a message that no queue gets is an error")
	fs.VarP(p.headers, "header", "H", "a header, name=value; may be repeated")
	p.addProperties(cmd)
	fs.BoolVarP(&p.quiet, "quiet", "q", false, "do not tell how many messages were published")
	cmd.MarkFlagsMutuallyExclusive("body", "file")
	cmd.MarkFlagsMutuallyExclusive("body", "json", "whole")
	p.conn.addTo(cmd)
	return cmd
}

func (p *publish) addProperties(cmd *cobra.Command) {
	fs, m := cmd.Flags(), &p.properties
	fs.StringVar(&m.ContentType, "content-type", "", "property content-type")
	fs.StringVar(&m.ContentEncoding, "content-encoding", "", "property content-encoding")
	fs.Uint8Var(&m.Priority, "priority", 0, "property priority, 0 to 255")
	fs.StringVar(&m.CorrelationID, "correlation-id", "", "property correlation-id")
	fs.StringVar(&m.ReplyTo, "reply-to", "", "property reply-to")
	fs.StringVar(&m.Expiration, "expiration", "", "property expiration: milliseconds to live in a queue")
	fs.StringVar(&m.MessageID, "message-id", "", "property message-id")
	fs.StringVar(&p.timestamp, "timestamp", "", "property timestamp: RFC 3339, a date, milliseconds since 1970, or -90m")
	fs.StringVar(&m.Type, "type", "", "property type")
	fs.StringVar(&m.UserID, "user-id", "", "property user-id; must be the user of --url")
	fs.StringVar(&m.AppID, "app-id", "", "property app-id")
}

// prepare checks the flags and fills in p.base.
func (p *publish) prepare(cmd *cobra.Command, args []string) error {
	p.addressed = len(args) > 0 || cmd.Flags().Changed("exchange")
	if !p.addressed && !p.json {
		return fmt.Errorf("KEY or --exchange must say where to publish to")
	}
	p.base.exchange, p.base.key = p.exchange, strings.Join(args, "")
	if len(p.base.exchange) > 255 || len(p.base.key) > 255 {
		return fmt.Errorf("KEY and --exchange must not be longer than 255 bytes")
	}
	p.base.DeliveryMode = amqp.Transient
	if p.persistent {
		p.base.DeliveryMode = amqp.Persistent
	}
	if len(p.headers) > 0 {
		p.base.Headers = amqp.Table(p.headers)
	}
	if p.timestamp != "" {
		at, err := parseWhen(p.timestamp, time.Now())
		if err != nil {
			return fmt.Errorf("--timestamp: %w", err)
		}
		p.properties.Timestamp = &at
	}
	return p.properties.apply(&p.base.Publishing)
}

// open returns the input.
func (p *publish) open(cmd *cobra.Command) (io.ReadCloser, error) {
	switch {
	case cmd.Flags().Changed("body"):
		p.whole = true
		return io.NopCloser(strings.NewReader(p.body)), nil
	case p.file == "-":
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(p.file)
}

func (p *publish) run(cmd *cobra.Command, args []string) error {
	if err := p.prepare(cmd, args); err != nil {
		return err
	}
	in, err := p.open(cmd)
	if err != nil {
		return err
	}
	defer in.Close()
	s, err := p.conn.open(cmd.Context())
	if err != nil {
		return err
	}
	defer s.close()
	sender, err := newAMQPSender(s, p.confirm, p.mandatory)
	if err != nil {
		return err
	}
	err = sender.sendAll(cmd.Context(), func(send func(*amqpMessage) bool) error { return p.each(in, send) })
	if !p.quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "published %s%s\n", count(int(sender.published.Load()), "message"), p.target())
	}
	return err
}

// target says where to, as far as the flags do.
func (p *publish) target() string {
	switch {
	case !p.addressed:
		return ""
	case p.exchange == "":
		return " to " + p.base.key
	}
	return " to exchange " + p.exchange
}
