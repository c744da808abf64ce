package kafka

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// Small things that the APIs of consumer groups share.

// reason is the text that goes with a consumer group's kind; nil for success.
func reason(k group.Kind, id string) *string {
	switch k {
	case group.None:
		return nil
	case group.GroupIDNotFound:
		text := fmt.Sprintf("Group %s not found.", id)
		return &text
	}
	text := groupCodes[k].Description
	return &text
}

// text is what a nullable string says; nothing for null.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// group submits a command about a consumer group. answered is called once, at
// most, from a goroutine of the broker.
func (s *Server) group(rq *request, id string, cmd group.Command, answered func(group.Body, error)) (forget func()) {
	return s.broker.Group(id, cmd, func(body group.Body, err error) {
		rq.c.protect(func() { answered(body, err) })
	})
}

// nullable is the reverse of text.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

// clientHost is the client's address as Kafka shows it.
func clientHost(rq *request) string { return "/" + rq.host }

// newUUID makes a random (version 4) UUID, in its usual form.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
