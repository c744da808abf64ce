package kafka

import (
	"bytes"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing/bus"
)

// Names of headers, of CloudEvents' Kafka binding, binary mode.
const (
	hdrSpecVersion = "ce_specversion"
	hdrID          = "ce_id"
	hdrSource      = "ce_source"
	hdrType        = "ce_type"
	hdrTime        = "ce_time"
	hdrContentType = "content-type"
)

// toRecord is a message as a record, which shares no memory with it.
func toRecord(m *bus.Message) *kgo.Record {
	r := &kgo.Record{Topic: m.Topic, Value: bytes.Clone(m.Body)}
	if m.Key != "" {
		r.Key = []byte(m.Key)
	}
	add := func(name, value string) {
		if value != "" {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
	}
	if m.ID != "" {
		add(hdrSpecVersion, "1.0")
	}
	add(hdrID, m.ID)
	add(hdrSource, m.Source)
	add(hdrType, m.Type)
	if !m.Time.IsZero() {
		add(hdrTime, m.Time.UTC().Format(time.RFC3339Nano))
	}
	add(hdrContentType, m.ContentType)
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: bytes.Clone(h.Value)})
	}
	return r
}

// fromRecord is the message that a record is. It shares the record's memory.
func fromRecord(r *kgo.Record) bus.Message {
	m := bus.Message{Topic: r.Topic, Key: string(r.Key), Body: r.Value}
	seen := map[string]bool{}
	for _, h := range r.Headers {
		if seen[h.Key] || !setAttribute(&m, h.Key, h.Value) {
			m.Headers = append(m.Headers, bus.Header{Name: h.Key, Value: h.Value})
		}
		seen[h.Key] = true
	}
	return m
}

// setAttribute sets the attribute that a header of that name is, and says whether
// it is one. A time that cannot be read is none.
func setAttribute(m *bus.Message, name string, value []byte) bool {
	switch name {
	case hdrSpecVersion:
	case hdrID:
		m.ID = string(value)
	case hdrSource:
		m.Source = string(value)
	case hdrType:
		m.Type = string(value)
	case hdrContentType:
		m.ContentType = string(value)
	case hdrTime:
		t, err := time.Parse(time.RFC3339Nano, string(value))
		if err != nil {
			return false
		}
		m.Time = t
	default:
		return false
	}
	return true
}

// sizeMax is no less than what a record takes in a batch of its own.
func sizeMax(r *kgo.Record) int {
	const batch, record, field = 61 + 9, 21, 5 // bytes, lengths at their longest
	n := batch + record + field + len(r.Key) + field + len(r.Value) + field
	for _, h := range r.Headers {
		n += field + len(h.Key) + field + len(h.Value)
	}
	return n
}
