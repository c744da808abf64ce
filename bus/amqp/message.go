package amqp

import (
	"fmt"
	"slices"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/bus"
)

// Names of headers.
const (
	hdrKey         = "waxwing-key"
	hdrSpecVersion = "ce_specversion"
	hdrID          = "ce_id"
	hdrSource      = "ce_source"
	hdrType        = "ce_type"
	hdrTime        = "ce_time"
)

// own are the headers that are attributes.
var own = []string{hdrKey, hdrSpecVersion, hdrID, hdrSource, hdrType, hdrTime}

const shortString = 255 // bytes that a property or the name of a header holds

// toPublishing is a message as AMQP has it. It shares the message's memory.
func toPublishing(m *bus.Message) (amqp091.Publishing, error) {
	p := amqp091.Publishing{
		Headers: amqp091.Table{}, DeliveryMode: amqp091.Persistent, ContentType: m.ContentType,
		MessageId: short(m.ID), Type: short(m.Type), Body: m.Body,
	}
	if len(m.ContentType) > shortString || len(m.Topic) > shortString {
		return p, fmt.Errorf("amqp: content type and topic hold at most %d bytes", shortString)
	}
	for _, h := range m.Headers {
		if len(h.Name) > shortString || slices.Contains(own, h.Name) {
			return p, fmt.Errorf("amqp: a header cannot have the name %.40q", h.Name)
		}
		p.Headers[h.Name] = oneMore(p.Headers[h.Name], h.Value)
	}
	set := func(name, value string) {
		if value != "" {
			p.Headers[name] = value
		}
	}
	if m.Key != "" {
		p.Headers[hdrKey] = []byte(m.Key)
	}
	if m.ID != "" {
		p.Headers[hdrSpecVersion] = "1.0"
	}
	set(hdrID, m.ID)
	set(hdrSource, m.Source)
	set(hdrType, m.Type)
	if !m.Time.IsZero() {
		p.Timestamp = m.Time
		p.Headers[hdrTime] = m.Time.UTC().Format(time.RFC3339Nano)
	}
	return p, nil
}

// short is a text if a property can hold it.
func short(s string) string {
	if len(s) > shortString {
		return ""
	}
	return s
}

// oneMore is the value of a header that had one and gets a further one.
func oneMore(had any, value []byte) any {
	if value == nil {
		value = []byte{} // which the encoder would refuse
	}
	switch had := had.(type) {
	case nil:
		return value
	case []any:
		return append(had, value)
	default:
		return []any{had, value}
	}
}

// fromDelivery is the message that a delivery is, of a topic. It shares the
// delivery's memory.
func fromDelivery(d *amqp091.Delivery, topic string) bus.Message {
	m := bus.Message{
		Topic: topic, Key: text(d.Headers[hdrKey]), ID: text(d.Headers[hdrID]), Source: text(d.Headers[hdrSource]),
		Type: text(d.Headers[hdrType]), Time: d.Timestamp, ContentType: d.ContentType, Body: d.Body,
	}
	for at, fallback := range map[*string]string{&m.ID: d.MessageId, &m.Type: d.Type, &m.Source: d.AppId} {
		if *at == "" {
			*at = fallback
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, text(d.Headers[hdrTime])); err == nil {
		m.Time = t
	}
	for _, name := range names(d.Headers) {
		values, several := d.Headers[name].([]any)
		if !several {
			values = []any{d.Headers[name]}
		}
		for _, v := range values {
			m.Headers = append(m.Headers, bus.Header{Name: name, Value: []byte(text(v))})
		}
	}
	return m
}

// names are the names of headers that are no attributes, sorted.
func names(t amqp091.Table) (out []string) {
	for name := range t {
		if !slices.Contains(own, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// text is a value of a table as text.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	default:
		return fmt.Sprint(v)
	}
}
