package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produce holds the flags of `waxwing produce`.
type produce struct {
	conn        connection
	send        sendOptions
	lines       lineFormat
	file        string
	partition   int32
	maxMessage  sizeValue
	quiet       bool
	keySep      string
	fixedKey    string
	fixedHeader []string
}

// producedBytesMax bounds what `waxwing produce` holds in memory, in bytes of
// records that are not acknowledged yet.
const producedBytesMax = 64 << 20

func newProduceCommand() *cobra.Command {
	p := produce{send: newSendOptions(), maxMessage: 1000000}
	cmd := &cobra.Command{
		Use:     "produce TOPIC",
		GroupID: groupData,
		Short:   "Send lines from stdin or a file as records",
		Long: `Reads lines until the end of the input and sends each as one record. The line is
the value; with --key-separator the part before the first separator is the key.

With --json each line is an object with any of "key", "value", "headers",
"partition" and "timestamp": the form that "waxwing consume --json" prints, so the
two can be joined by a pipe. A value that is not a string is sent as its JSON text;
bytes that are not text stand in base64 under "key_base64" and "value_base64".

Records with a key go to the partition that Kafka's own clients would choose.
By default a record counts as sent when every in-sync replica has it (--acks all),
and the producer is idempotent, so a retry leaves no duplicate. How many records
were sent is told on stderr; if one is refused, the command stops and exits 1.`,
		Example: `  seq 1 100 | waxwing produce numbers
  printf 'a:1\nb:2\n' | waxwing produce pairs --key-separator :
  waxwing produce orders -f orders.jsonl --json --compression zstd
  waxwing consume old --from-beginning --json --exit-when-idle 2s | waxwing produce new --json
  echo ping | waxwing produce events -H source=cron -p 0 --acks 1`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.conn.completeTopics(1),
		RunE:              p.run,
	}
	fs := cmd.Flags()
	fs.StringVarP(&p.file, "file", "f", "-", "read from this file instead of stdin (-)")
	fs.StringVarP(&p.keySep, "key-separator", "K", "", `split each line into key and value at this text (\t for a tab)`)
	fs.StringVarP(&p.fixedKey, "key", "k", "", "give every record this key")
	fs.StringArrayVarP(&p.fixedHeader, "header", "H", nil, "give every record the header name=value; may be repeated")
	fs.BoolVar(&p.lines.json, "json", false, "each line is a JSON object")
	fs.BoolVar(&p.lines.emptyIsNull, "empty-is-null", false, "send an empty value as null (a tombstone)")
	fs.Int32VarP(&p.partition, "partition", "p", -1, "send everything to this partition (-1: choose by key)")
	fs.Var(&p.maxMessage, "max-message-bytes", "largest record batch to send")
	fs.BoolVarP(&p.quiet, "quiet", "q", false, "do not tell how many records were sent")
	cmd.MarkFlagsMutuallyExclusive("json", "key-separator")
	cmd.MarkFlagsMutuallyExclusive("key", "key-separator")
	p.send.addTo(cmd)
	p.conn.addTo(cmd)
	return cmd
}

func (p *produce) run(cmd *cobra.Command, args []string) error {
	if err := p.prepare(cmd); err != nil {
		return err
	}
	in, err := p.open(cmd)
	if err != nil {
		return err
	}
	defer in.Close()
	pause, retries := retriesWithin(p.conn.timeout)
	s, err := p.conn.open(cmd.Context(), append(p.send.options(),
		kgo.RetryBackoffFn(func(int) time.Duration { return pause }),
		kgo.RecordRetries(retries),
		kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(newChosenPartitioner()),
		kgo.ProducerBatchMaxBytes(int32(p.maxMessage)),
		kgo.MaxBufferedBytes(producedBytesMax),
	)...)
	if err != nil {
		return err
	}
	defer s.close()
	if err := p.checkPartition(cmd.Context(), s, args[0]); err != nil {
		return err
	}
	return p.sendAll(cmd, s, args[0], in)
}

// retriesWithin is how a refusal that may pass, such as that of a full disk, is
// tried again: how often, and with which pause between, so that it is told as
// an error once limit has passed.
func retriesWithin(limit time.Duration) (pause time.Duration, retries int) {
	pause = min(limit, 250*time.Millisecond) // no less: the client asks for metadata between
	return pause, int(limit / pause)
}

// prepare checks the flags and fills in p.lines.
func (p *produce) prepare(cmd *cobra.Command) error {
	if p.partition < -1 {
		return fmt.Errorf("--partition must be 0 or more, or -1 to choose by key")
	}
	if p.maxMessage < 1024 || p.maxMessage > producedBytesMax {
		return fmt.Errorf("--max-message-bytes must be between 1KiB and 64MiB")
	}
	if err := p.send.check(cmd); err != nil {
		return err
	}
	var err error
	if p.lines.separator, err = unescape(p.keySep); err != nil {
		return fmt.Errorf("--key-separator: %w", err)
	}
	if p.lines.headers, err = parseHeaders(p.fixedHeader); err != nil {
		return fmt.Errorf("--header: %w", err)
	}
	if cmd.Flags().Changed("key") {
		p.lines.key = []byte(p.fixedKey)
	}
	p.lines.partition = p.partition
	return nil
}

// open returns the input.
func (p *produce) open(cmd *cobra.Command) (io.ReadCloser, error) {
	if p.file == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(p.file)
}

// checkPartition refuses a partition that the topic does not have. A topic
// that does not exist may yet be created by the first record.
func (p *produce) checkPartition(ctx context.Context, s *session, topic string) error {
	if p.partition < 0 {
		return nil
	}
	details, err := s.adm.ListTopics(ctx, topic)
	if err != nil {
		return s.explain(ctx, err)
	}
	if n := len(details[topic].Partitions); n > 0 && int(p.partition) >= n {
		return fmt.Errorf("topic %q has %s; there is no partition %d", topic, count(n, "partition"), p.partition)
	}
	return nil
}

// delivery counts what became of the records of one run.
type delivery struct {
	sent   atomic.Int64
	once   sync.Once
	cancel context.CancelFunc // stops the reading at the first failure
	abort  context.CancelFunc // gives up what is not sent yet
	err    error              // the first failure, set before cancel
}

// done is the promise of every record.
func (d *delivery) done(_ *kgo.Record, err error) {
	if err == nil {
		d.sent.Add(1)
		return
	}
	d.once.Do(func() { d.err = err })
	d.cancel()
	if ranOut(err) { // so would everything behind it, each in its turn
		d.abort()
	}
}

// ranOut reports whether a record was given up after it had been tried again
// for as long as it may.
func ranOut(err error) bool {
	return kerr.IsRetriable(err) || errors.Is(err, kgo.ErrRecordRetries)
}

// sendAll reads the input and sends it until the end, a signal, a refusal or
// the loss of the broker, whichever comes first.
func (p *produce) sendAll(cmd *cobra.Command, s *session, topic string, in io.Reader) error {
	sending, stopSending := s.watched(context.WithoutCancel(cmd.Context()))
	defer stopSending()
	reading, stopReading := context.WithCancel(cmd.Context())
	defer stopReading()
	defer context.AfterFunc(sending, stopReading)()

	d := &delivery{cancel: stopReading, abort: stopSending}
	readErr := make(chan error, 1)
	go func() {
		readErr <- p.lines.each(in, func(r *kgo.Record) bool {
			if reading.Err() != nil {
				return false
			}
			r.Topic = topic
			s.cl.Produce(sending, r, d.done)
			return true
		})
	}()
	// A read from a terminal cannot be interrupted: leave it behind.
	var err error
	select {
	case err = <-readErr:
	case <-reading.Done():
	}
	if flushErr := s.cl.Flush(sending); flushErr != nil && lost(sending) == nil {
		err = errors.Join(err, flushErr)
	}
	return p.report(cmd, topic, d, err, lost(sending))
}

// report tells how many records were sent, and returns why not all were.
func (p *produce) report(cmd *cobra.Command, topic string, d *delivery, readErr, lostErr error) error {
	if !p.quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "sent %s to %s\n", count(int(d.sent.Load()), "record"), topic)
	}
	var refusal error
	d.once.Do(func() {}) // no failure is recorded after this, so d.err may be read
	if d.err != nil {
		refusal = sendError(topic, d.err)
	}
	switch {
	case lostErr != nil:
		return lostErr
	case refusal != nil:
		return refusal
	}
	return readErr
}

// sendError says why a record was refused.
func sendError(topic string, err error) error {
	if errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("topic %q: a record is too large (see --max-message-bytes and the topic's max.message.bytes)", topic)
	}
	if errors.Is(err, kgo.ErrRecordRetries) {
		return fmt.Errorf("topic %q: no record was acknowledged within --timeout", topic)
	}
	return topicError(topic, err, "")
}
