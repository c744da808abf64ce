package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func newDLQShowCommand() *cobra.Command {
	var d database
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a dead letter with its headers and its body",
		Long: `Shows all of a message that is put aside: why it failed, how many wait behind it, its
headers, and its body as it is. Of one that is sealed it shows what everybody can see;
only the consumer that it is sealed to can open it.`,
		Example: `  waxwing dlq show 17 --dsn sqlite:shop.db
  waxwing dlq show 17 --dsn sqlite:shop.db --output json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := (&filterFlags{}).filter(args)
			if err != nil {
				return err
			}
			return d.with(cmd, func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error {
				l, err := inbox.ShowDeadLetter(ctx, db, f.IDs[0])
				if err != nil {
					return err
				}
				if !out.json() {
					return printLetter(cmd.OutOrStdout(), l)
				}
				j := newLetterJSON(l)
				j.Behind = &l.Behind
				j.Body, j.BodyBase64 = asText(l.Message.Body)
				return printJSON(cmd.OutOrStdout(), j)
			})
		},
	}
	d.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

// printLetter prints a line per field, the reason, and the body after an empty line.
func printLetter(w io.Writer, l *inbox.Parked) error {
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-14s %s\n", name+":", printable(value))
		}
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			field(name, t.Format(time.RFC3339Nano))
		}
	}
	m := &l.Message
	field("id", fmt.Sprint(l.ID))
	field("consumer", l.Consumer)
	field("state", l.State)
	field("topic", m.Topic)
	field("key", m.Key)
	field("event id", m.ID)
	field("source", m.Source)
	field("type", m.Type)
	field("content type", m.ContentType)
	at("time", m.Time)
	if l.Position != nil {
		field("position", l.Position.String())
	}
	field("attempts", fmt.Sprint(l.Attempts))
	field("replays", fmt.Sprint(l.Replays))
	at("put aside", l.ParkedAt)
	at("failed", l.FailedAt)
	at("due", l.DueAt)
	field("behind it", count(l.Behind, "message"))
	for line := range strings.Lines(l.Reason) {
		field("reason", strings.TrimRight(line, "\n"))
	}
	for _, h := range m.Headers {
		field("header", h.Name+"="+string(h.Value))
	}
	if e, err := seal.ParseEnvelope(m.Body); err == nil {
		printSealed(field, e, len(m.Body))
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", m.Body)
	return err
}

// printSealed prints the public parts of a sealed body, in place of its bytes.
func printSealed(field func(name, value string), e *seal.Envelope, size int) {
	what := fmt.Sprintf("%s, profile %s, %d bytes", e.Kind, e.Profile, size)
	if e.Kind == seal.KindHandshake {
		what += fmt.Sprintf(", by %s for %s, lane %d (as it says)", e.Sender, e.Recipient, e.Lane)
	}
	field("sealed", what)
	field("session", fmt.Sprintf("%x", e.Tag))
}
