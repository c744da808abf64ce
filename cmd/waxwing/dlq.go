package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/inbox"
)

func newDLQCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dlq",
		GroupID: groupApp,
		Short:   "List, show, replay and drop the dead letters of an application",
		Long: `A message that an inbox of the SDK cannot handle is put aside into a table of the
application's database. After its last attempt it is a dead letter: it waits, and
later messages of its key wait behind it, until somebody replays or drops it.`,
		Example: `  waxwing dlq list --dsn postgres://app:secret@localhost/shop --consumer billing
  waxwing dlq show 17 --dsn sqlite:shop.db
  waxwing dlq replay --consumer billing --dry-run --dsn sqlite:shop.db
  waxwing dlq drop 17 --dsn sqlite:shop.db`,
		RunE: showHelp,
	}
	cmd.AddCommand(newDLQListCommand(), newDLQShowCommand(), newDLQReplayCommand(), newDLQDropCommand())
	return cmd
}

// filterFlags choose dead letters.
type filterFlags struct{ f inbox.Filter }

// addTo adds the flags to cmd.
func (c *filterFlags) addTo(cmd *cobra.Command, limit string) {
	fs := cmd.Flags()
	fs.StringVar(&c.f.Consumer, "consumer", "", "only those of this consumer")
	fs.StringVar(&c.f.Topic, "topic", "", "only those of this topic")
	fs.StringVar(&c.f.Key, "key", "", "only those with this key")
	fs.IntVar(&c.f.Limit, "limit", 0, limit)
}

// filter is what the flags and the arguments, which are ids, say.
func (c *filterFlags) filter(args []string) (inbox.Filter, error) {
	f := c.f
	if f.Limit < 0 {
		return f, errors.New("--limit must not be negative")
	}
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || id < 1 {
			return f, fmt.Errorf("%q is no id of a dead letter", arg)
		}
		f.IDs = append(f.IDs, id)
	}
	return f, nil
}

// letterJSON is a dead letter as --output json prints it. Bytes that are not UTF-8
// stand in base64 under the name with _base64.
type letterJSON struct {
	ID          int64          `json:"id"`
	Consumer    string         `json:"consumer"`
	State       string         `json:"state"`
	Topic       string         `json:"topic"`
	Key         *string        `json:"key,omitempty"`
	KeyBase64   []byte         `json:"key_base64,omitempty"`
	EventID     string         `json:"event_id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	ContentType string         `json:"content_type"`
	Time        *time.Time     `json:"time,omitempty"`
	Position    string         `json:"position,omitempty"`
	Size        int            `json:"size"`
	Attempts    int            `json:"attempts"`
	Replays     int            `json:"replays"`
	Reason      string         `json:"reason"`
	ParkedAt    *time.Time     `json:"parked_at,omitempty"`
	FailedAt    *time.Time     `json:"failed_at,omitempty"`
	DueAt       *time.Time     `json:"due_at,omitempty"`
	Behind      *int           `json:"behind,omitempty"`
	Headers     []letterHeader `json:"headers"`
	Body        *string        `json:"body,omitempty"`
	BodyBase64  []byte         `json:"body_base64,omitempty"`
}

type letterHeader struct {
	Name        string  `json:"name"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

// asText is b as a text if it is one, or else as bytes.
func asText(b []byte) (*string, []byte) {
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

// asTime is nil for no time.
func asTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// newLetterJSON is a dead letter without what only `show` tells.
func newLetterJSON(d *inbox.Parked) letterJSON {
	m := &d.Message
	out := letterJSON{
		ID: d.ID, Consumer: d.Consumer, State: d.State, Topic: m.Topic, EventID: m.ID, Source: m.Source, Type: m.Type, ContentType: m.ContentType,
		Time: asTime(m.Time), Size: d.Size, Attempts: d.Attempts, Replays: d.Replays, Reason: d.Reason,
		ParkedAt: asTime(d.ParkedAt), FailedAt: asTime(d.FailedAt), DueAt: asTime(d.DueAt), Headers: []letterHeader{},
	}
	out.Key, out.KeyBase64 = asText([]byte(m.Key))
	if d.Position != nil {
		out.Position = d.Position.String()
	}
	for _, h := range m.Headers {
		one := letterHeader{Name: h.Name}
		one.Value, one.ValueBase64 = asText(h.Value)
		out.Headers = append(out.Headers, one)
	}
	return out
}

// idList are ids with spaces between.
func idList(ids []int64) (text string) {
	for n, id := range ids {
		if n > 0 {
			text += " "
		}
		text += strconv.FormatInt(id, 10)
	}
	return text
}
