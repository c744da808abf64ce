package amqp

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// How an AMQP message becomes a record of a topic and back; docs/streams.md has
// the same as a table.
//
// From AMQP: the body is the value. The key is the header kafka-key, else the
// routing key, or null for what came by the default exchange. The timestamp is
// the property timestamp, else the time of arrival. Each header of the message
// becomes a header of the record, as text (binary values as they are); the
// properties become headers amqp.NAME, and amqp.properties has all of them,
// exactly, for AMQP consumers.
//
// From Kafka: the value is the body, the topic's name the routing key. Headers
// become headers: text where they are UTF-8, else binary; amqp.NAME become
// properties. The key becomes the header kafka-key, the timestamp the property
// timestamp (in seconds) and the header kafka-timestamp (in milliseconds).

const (
	recordPrefix     = "amqp."
	recordProperties = recordPrefix + "properties"
	recordExchange   = recordPrefix + "exchange"
	recordRoutingKey = recordPrefix + "routing-key"
	headerKafkaKey   = "kafka-key"
	headerKafkaTime  = "kafka-timestamp"
)

// recordOf is a message as a record. The record aliases the message's body. What
// is empty stays so: null would be a tombstone.
func recordOf(m *broker.Message) record.Record {
	r := record.Record{Timestamp: m.Time, Value: m.Body}
	if r.Value == nil {
		r.Value = []byte{}
	}
	raw, err := wire.ParseProperties(m.Properties)
	if err != nil {
		raw = wire.RawProperties{}
	}
	p := raw.Decode()
	if m.Exchange != "" {
		r.Key = []byte(m.RoutingKey)
	}
	add := func(name string, value []byte) {
		r.Headers = append(r.Headers, record.RecordHeader{Key: []byte(name), Value: value})
	}
	for key, v := range p.Headers.All() {
		if string(key) == headerKafkaKey {
			r.Key = valueBytes(v)
			continue
		}
		add(string(key), valueBytes(v))
	}
	for _, property := range recordTexts {
		if text, ok := raw.Text(property); ok {
			add(recordPrefix+property.String(), append([]byte{}, text...))
		}
	}
	if seconds, ok := raw.Timestamp(); ok {
		r.Timestamp = int64(seconds) * 1000
	}
	if priority, ok := raw.Priority(); ok {
		add(recordPrefix+"priority", strconv.AppendUint(nil, uint64(priority), 10))
	}
	add(recordExchange, []byte(m.Exchange))
	add(recordRoutingKey, []byte(m.RoutingKey))
	add(recordProperties, append([]byte(nil), m.Properties...))
	return r
}

// recordTexts are the textual properties, each of which becomes a header.
var recordTexts = []wire.Property{
	wire.PropContentType, wire.PropContentEncoding, wire.PropCorrelationID, wire.PropReplyTo, wire.PropExpiration,
	wire.PropMessageID, wire.PropType, wire.PropUserID, wire.PropAppID,
}

// valueBytes is a table's value as Kafka clients see it.
func valueBytes(v wire.Value) []byte {
	if b, ok := v.Bytes(); ok {
		return append([]byte{}, b...)
	}
	if n, ok := v.Int(); ok {
		return strconv.AppendInt(nil, n, 10)
	}
	if yes, ok := v.Bool(); ok {
		return strconv.AppendBool(nil, yes)
	}
	if f, ok := v.Float(); ok {
		return strconv.AppendFloat(nil, f, 'g', -1, 64)
	}
	if v.Kind() == wire.KindVoid {
		return nil
	}
	return []byte(v.String())
}

// messageOf is a record as a message. It shares no memory with the record.
func messageOf(topic string, r record.Record) broker.Message {
	m := broker.Message{RoutingKey: topic, Body: append([]byte(nil), r.Value...), Time: r.Timestamp}
	var p wire.Properties
	var own bool
	var fields []wire.Field
	for _, h := range r.Headers {
		switch name := string(h.Key); {
		case name == recordProperties:
			if raw, err := wire.ParseProperties(append([]byte(nil), h.Value...)); err == nil {
				p, own = raw.Decode(), true
			}
		case name == recordExchange:
			m.Exchange = string(h.Value)
		case name == recordRoutingKey:
			m.RoutingKey = string(h.Value)
		case strings.HasPrefix(name, recordPrefix) && setProperty(&p, name, string(h.Value)):
		default:
			fields = append(fields, wire.Field{Key: cutKey(name), Value: headerValue(h.Value)})
		}
	}
	if !own {
		fields = append(fields, kafkaFields(r)...)
		p.Headers = wire.MakeTable(fields...)
		if r.Timestamp >= 0 {
			p.Flags.Set(wire.PropTimestamp)
			p.Timestamp = uint64(r.Timestamp / 1000)
		}
		p.Flags.Set(wire.PropDeliveryMode)
		p.DeliveryMode = wire.Persistent
	}
	if p.Headers.Len() > 0 {
		p.Flags.Set(wire.PropHeaders)
	}
	m.Properties = p.Encode().Bytes()
	return m
}

func cutKey(name string) string { return name[:min(len(name), wire.ShortStrMax)] }

func kafkaFields(r record.Record) []wire.Field {
	var fields []wire.Field
	if r.Key != nil {
		fields = append(fields, wire.Field{Key: headerKafkaKey, Value: headerValue(r.Key)})
	}
	if r.Timestamp >= 0 {
		fields = append(fields, wire.Field{Key: headerKafkaTime, Value: wire.IntValue(r.Timestamp)})
	}
	return fields
}

func headerValue(b []byte) wire.Value {
	switch {
	case b == nil:
		return wire.VoidValue()
	case utf8.Valid(b):
		return wire.TextValue(string(b))
	}
	return wire.BytesValue(append([]byte(nil), b...))
}

// setProperty sets the property that a record's header names, if there is one
// and the value fits.
func setProperty(p *wire.Properties, header, value string) bool {
	if header == recordPrefix+"priority" {
		n, err := strconv.ParseUint(value, 10, 8)
		if err != nil {
			return false
		}
		p.Priority = uint8(n)
		p.Flags.Set(wire.PropPriority)
		return true
	}
	if len(value) > wire.ShortStrMax {
		return false
	}
	for _, property := range recordTexts {
		if recordPrefix+property.String() == header {
			p.SetText(property, value)
			return true
		}
	}
	return false
}

// ToRecord implements broker.Protocol.
func (s *Server) ToRecord(m *broker.Message) record.Record { return recordOf(m) }

// FromRecord implements broker.Protocol: a record of a topic that is routed to
// queues.
func (s *Server) FromRecord(topic string, r record.Record) broker.Routed {
	m := messageOf(topic, r)
	m.RoutingKey = topic
	raw, err := wire.ParseProperties(m.Properties)
	if err != nil {
		raw = wire.RawProperties{}
	}
	headers, _ := raw.Headers()
	priority, _ := raw.Priority()
	return broker.Routed{
		Route:   route.Message{Fields: &fields{properties: raw, headers: headers}},
		Meta:    queue.Message{Size: int64(len(m.Body)), ExpiresAfter: queue.None, Priority: priority},
		Message: m,
	}
}
