package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// deletedPoll is how often consume looks whether its topics are still there.
const deletedPoll = time.Second

// goneTopic is the error, and the cause of a context that ended, when the topic
// of that name was deleted.
type goneTopic string

func (t goneTopic) Error() string { return fmt.Sprintf("topic %q was deleted", string(t)) }

// whileThere returns a context that ends when one of the topics with the given
// ids is deleted, also if another one has its name by then: what the client
// would do with either is wait.
func (s *session) whileThere(ctx context.Context, ids map[string]kadm.TopicID) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(deletedPoll)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if name := s.deleted(ctx, ids); name != "" {
				cancel(goneTopic(name))
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// deleted is the name of a topic that is no longer there with its id, or "". A
// broker that does not answer, or knows no ids, says nothing.
func (s *session) deleted(ctx context.Context, ids map[string]kadm.TopicID) string {
	var names []string
	for name := range ids {
		names = append(names, name)
	}
	ctx, cancel := s.limited(ctx)
	defer cancel()
	details, err := s.adm.ListTopics(ctx, names...)
	if err != nil {
		return ""
	}
	for name, id := range ids {
		if id == (kadm.TopicID{}) {
			continue
		}
		now, listed := details[name]
		if missing(now.Err) || listed && now.Err == nil && now.ID != id {
			return name
		}
	}
	return ""
}

// gone returns the reason if ctx is over because a topic was deleted.
func gone(ctx context.Context) error {
	var cause goneTopic
	if errors.As(context.Cause(ctx), &cause) {
		return cause
	}
	return nil
}
