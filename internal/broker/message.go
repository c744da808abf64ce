package broker

import (
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// Message is what a queue holds. In the queue's log it is a record batch of
// one record: the routing key is the record's key, the body its value, and the
// rest stands in two headers. So a queue's log is made of the same stuff as a
// partition's, and is verified, rewritten and served by the same code.
type Message struct {
	Exchange   string // that it was published to
	RoutingKey string
	// HiddenKeys are more keys that it was published with, which its
	// consumers are not told.
	HiddenKeys []string
	// Properties are the protocol's own, and opaque to the broker.
	Properties []byte
	Body       []byte
	Time       int64 // ms since 1970, when the broker took it
	// DeadLettered says that the broker itself has written into Properties
	// where the message died before.
	DeadLettered bool
}

// The headers of a message's record.
const (
	headerExchange   = "x"
	headerProperties = "p"
	headerDead       = "d" // without a value
	headerHidden     = "b" // one for each key
)

// messageOverhead is about what a batch of one record takes beside what it
// holds, in bytes.
const messageOverhead = record.HeaderLen + 32

// BatchBytes is about how many bytes AppendBatch appends, or a little more.
func (m *Message) BatchBytes() int {
	n := messageOverhead + len(m.Exchange) + len(m.RoutingKey) + len(m.Properties) + len(m.Body)
	for _, key := range m.HiddenKeys {
		n += hiddenOverhead + len(key)
	}
	return n
}

// hiddenOverhead is what a hidden key takes beside itself at most, in bytes.
const hiddenOverhead = 8

// AppendBatch appends the message as a record batch behind dst. It keeps
// nothing of m.
func (m *Message) AppendBatch(dst []byte) []byte {
	all := [3]record.RecordHeader{
		{Key: []byte(headerExchange), Value: []byte(m.Exchange)},
		{Key: []byte(headerProperties), Value: m.Properties},
		{Key: []byte(headerDead)},
	}
	headers := all[:2]
	if m.DeadLettered {
		headers = all[:]
	}
	for _, key := range m.HiddenKeys {
		headers = append(headers, record.RecordHeader{Key: []byte(headerHidden), Value: []byte(key)})
	}
	r := [1]record.Record{{
		Timestamp: m.Time, Key: []byte(m.RoutingKey), Value: m.Body, Headers: headers,
	}}
	return record.Append(dst, record.BatchSpec{Records: r[:]})
}

// readMessage reads what AppendBatch has written. Properties and Body alias
// batch.
func readMessage(batch []byte) (Message, error) {
	var m Message
	n := 0
	err := record.Iterate(batch, func(r record.Record) bool {
		n++
		m.RoutingKey, m.Body, m.Time = string(r.Key), r.Value, r.Timestamp
		for _, h := range r.Headers {
			switch string(h.Key) {
			case headerExchange:
				m.Exchange = string(h.Value)
			case headerProperties:
				m.Properties = h.Value
			case headerDead:
				m.DeadLettered = true
			case headerHidden:
				m.HiddenKeys = append(m.HiddenKeys, string(h.Value))
			}
		}
		return true
	})
	if err == nil && n != 1 {
		err = fmt.Errorf("%d records where a message belongs", n)
	}
	return m, err
}
