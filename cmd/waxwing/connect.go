package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// connection holds the flags of every command that speaks to a broker.
type connection struct {
	bootstrap []string
	timeout   time.Duration
}

// addTo adds the flags to cmd.
func (c *connection) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false // they are listed as they were added: by subject
	fs.StringSliceVarP(&c.bootstrap, "bootstrap", "b", []string{"127.0.0.1:9092"}, "brokers to connect to first, host:port")
	fs.DurationVar(&c.timeout, "timeout", 10*time.Second, "give up on a broker that does not answer for so long")
	bindEnv(fs, "bootstrap", "timeout")
}

// check refuses flag values that cannot work.
func (c *connection) check() error {
	if c.timeout < 100*time.Millisecond || c.timeout > 15*time.Minute { // the client's limits
		return fmt.Errorf("--timeout must be between 100ms and 15m")
	}
	for _, addr := range c.bootstrap {
		if strings.TrimSpace(addr) == "" {
			return fmt.Errorf("--bootstrap has an empty address")
		}
	}
	if len(c.bootstrap) == 0 {
		return fmt.Errorf("--bootstrap needs at least one host:port")
	}
	return nil
}

// session is a client that has reached a broker once.
type session struct {
	cl      *kgo.Client
	adm     *kadm.Client
	life    *lifeline
	timeout time.Duration
	where   string // the bootstrap addresses, for messages
}

// open connects with the given options besides the common ones and asks one
// broker for its metadata. It fails after c.timeout at the latest, and at once
// when every address refuses.
func (c *connection) open(ctx context.Context, opts ...kgo.Opt) (*session, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &session{life: newLifeline(), timeout: c.timeout, where: strings.Join(c.bootstrap, ",")}
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(c.bootstrap...),
		kgo.ClientID("waxwing-cli"),
		kgo.DialTimeout(c.timeout),
		kgo.RetryTimeout(c.timeout),
		kgo.RequestTimeoutOverhead(c.timeout),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.DisableClientMetrics(),
		kgo.WithHooks(s.life),
	}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	s.cl, s.adm = cl, kadm.NewClient(cl)
	s.adm.SetTimeoutMillis(int32(min(c.timeout.Milliseconds(), 1<<30)))

	ping, cancel := s.limited(ctx)
	defer cancel()
	if err := cl.Ping(ping); err != nil {
		cl.Close()
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		return nil, fmt.Errorf("no Kafka broker answers at %s: %w", s.where, s.reason(err))
	}
	return s, nil
}

// withAdmin opens a session, runs fn under the time limit and closes it.
func (c *connection) withAdmin(cmd *cobra.Command, fn func(context.Context, *session) error) error {
	s, err := c.open(cmd.Context())
	if err != nil {
		return err
	}
	defer s.close()
	ctx, cancel := s.limited(cmd.Context())
	defer cancel()
	return s.explain(cmd.Context(), fn(ctx, s))
}

// limited bounds ctx by the session's time limit.
func (s *session) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

func (s *session) close() { s.cl.Close() }

// errInterrupted ends a command that a signal stopped before it was done.
var errInterrupted = errors.New("interrupted")

// explain turns what a client call returned into what a person should read.
// outer is the command's context: when it is done, a signal came.
func (s *session) explain(outer context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case outer.Err() != nil:
		return errInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s: %w", s.where, s.reason(err))
	}
	return err
}

// reason prefers what happened to the last connection over "deadline
// exceeded", and drops the words that say nothing to a person.
func (s *session) reason(err error) error {
	if last := s.life.lastError(); last != nil && errors.Is(err, context.DeadlineExceeded) {
		err = last
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no reply within %s", s.timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return errors.New("it closed the connection (is this its Kafka port, without TLS?)")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "unable to dial: "))
}

// brokerError joins the protocol's error with the broker's own words for it.
func brokerError(err error, message string) error {
	var code *kerr.Error
	switch {
	case err == nil:
		return nil
	case message != "" && errors.As(err, &code):
		return fmt.Errorf("%s (%s)", strings.TrimSuffix(message, "."), code.Message)
	case errors.As(err, &code):
		return fmt.Errorf("%s (%s)", strings.TrimSuffix(code.Description, "."), code.Message)
	}
	return err
}

// errNoTopic says that a topic does not exist.
func errNoTopic(topic string) error { return fmt.Errorf("topic %q does not exist", topic) }

// topicError is brokerError for an error about one topic.
func topicError(topic string, err error, message string) error {
	switch {
	case err == nil:
		return nil
	case missing(err):
		return errNoTopic(topic)
	}
	return fmt.Errorf("topic %q: %w", topic, brokerError(err, message))
}

// missing reports whether err says that a topic is not there.
func missing(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// settleMax is how long settle waits, at most.
const settleMax = 2 * time.Second

// settle waits until the metadata of topics shows what was just done to them. In
// Kafka the controller does it and the brokers learn of it a moment later: the
// next command would not see it. It is done also if that takes too long.
func (s *session) settle(ctx context.Context, names []string, shown func(kadm.TopicDetail) bool) {
	ctx, stop := context.WithTimeout(ctx, settleMax)
	defer stop()
	for len(names) > 0 {
		details, err := s.adm.ListTopics(ctx, names...)
		if err != nil {
			return
		}
		names = slices.DeleteFunc(names, func(name string) bool { return shown(details[name]) })
		if len(names) == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// topics returns the details of the named topics, or an error that names the
// first that is not there.
func (s *session) topics(ctx context.Context, names ...string) (kadm.TopicDetails, error) {
	details, err := s.adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := topicError(name, details[name].Err, ""); err != nil {
			return nil, err
		}
		if !details.Has(name) {
			return nil, errNoTopic(name)
		}
	}
	return details, nil
}
