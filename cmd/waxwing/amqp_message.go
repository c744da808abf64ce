package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A message as one line of JSON, as `get --json` prints and `publish --json`
// reads it:
//
//	{"queue":"q","exchange":"","routing_key":"q","redelivered":false,"message_count":2,
//	 "properties":{"delivery_mode":2,"headers":{"n":1}},"body":"text"}
//
// A body that is not UTF-8 stands in base64 under body_base64. The names of the
// properties are those of the specification; timestamp is a text like
// "2026-01-02T03:04:05Z". Reading ignores queue, redelivered and message_count.

// amqpLine is that line.
type amqpLine struct {
	Queue        *string         `json:"queue,omitempty"`
	Exchange     *string         `json:"exchange,omitempty"`
	RoutingKey   *string         `json:"routing_key,omitempty"`
	Redelivered  *bool           `json:"redelivered,omitempty"`
	MessageCount *uint32         `json:"message_count,omitempty"`
	Properties   amqpProperties  `json:"properties"`
	Body         json.RawMessage `json:"body,omitempty"`
	BodyBase64   *[]byte         `json:"body_base64,omitempty"`
}

// amqpProperties are the properties of a message.
type amqpProperties struct {
	ContentType     string          `json:"content_type,omitempty"`
	ContentEncoding string          `json:"content_encoding,omitempty"`
	Headers         json.RawMessage `json:"headers,omitempty"`
	DeliveryMode    uint8           `json:"delivery_mode,omitempty"`
	Priority        uint8           `json:"priority,omitempty"`
	CorrelationID   string          `json:"correlation_id,omitempty"`
	ReplyTo         string          `json:"reply_to,omitempty"`
	Expiration      string          `json:"expiration,omitempty"`
	MessageID       string          `json:"message_id,omitempty"`
	Timestamp       *time.Time      `json:"timestamp,omitempty"`
	Type            string          `json:"type,omitempty"`
	UserID          string          `json:"user_id,omitempty"`
	AppID           string          `json:"app_id,omitempty"`
}

// writeDelivery writes a message that was got from a queue as a line.
func writeDelivery(w io.Writer, queue string, d *amqp.Delivery) error {
	p := amqpProperties{
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
		CorrelationID: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageID: d.MessageId,
		Type: d.Type, UserID: d.UserId, AppID: d.AppId,
	}
	if !d.Timestamp.IsZero() {
		at := d.Timestamp.UTC()
		p.Timestamp = &at
	}
	if d.Headers != nil {
		p.Headers = plainJSON(toJSON(d.Headers))
	}
	line := amqpLine{
		Queue: &queue, Exchange: &d.Exchange, RoutingKey: &d.RoutingKey, Redelivered: &d.Redelivered,
		MessageCount: &d.MessageCount, Properties: p,
	}
	if utf8.Valid(d.Body) {
		line.Body = plainJSON(string(d.Body))
	} else {
		line.BodyBase64 = &d.Body
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(line)
}

// plainJSON is v as JSON, with < and > as they are.
func plainJSON(v any) json.RawMessage {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	must(enc.Encode(v))
	return buf.Bytes()
}

// amqpMessage is a message to publish.
type amqpMessage struct {
	exchange, key string
	amqp.Publishing
}

// parseAMQPLine reads a line. What it does not have is as in base.
func parseAMQPLine(text []byte, base amqpMessage) (*amqpMessage, error) {
	var in amqpLine
	if err := strictJSON(text, &in); err != nil {
		return nil, err
	}
	m := base
	if in.Exchange != nil {
		m.exchange = *in.Exchange
	}
	if in.RoutingKey != nil {
		m.key = *in.RoutingKey
	}
	var err error
	if m.Body, err = (jsonBytes{in.Body, in.BodyBase64}).bytes("body"); err != nil {
		return nil, err
	}
	return &m, in.Properties.apply(&m.Publishing)
}

// apply sets those properties that are there; headers are added.
func (in *amqpProperties) apply(p *amqp.Publishing) error {
	for _, text := range []struct {
		from string
		to   *string
	}{
		{in.ContentType, &p.ContentType}, {in.ContentEncoding, &p.ContentEncoding}, {in.CorrelationID, &p.CorrelationId},
		{in.ReplyTo, &p.ReplyTo}, {in.Expiration, &p.Expiration}, {in.MessageID, &p.MessageId}, {in.Type, &p.Type},
		{in.UserID, &p.UserId}, {in.AppID, &p.AppId},
	} {
		if len(text.from) > 255 {
			return fmt.Errorf("the property %.20s… is longer than 255 bytes", text.from)
		}
		if text.from != "" {
			*text.to = text.from
		}
	}
	if in.DeliveryMode != 0 {
		p.DeliveryMode = in.DeliveryMode
	}
	if in.Priority != 0 {
		p.Priority = in.Priority
	}
	if in.Timestamp != nil {
		p.Timestamp = *in.Timestamp
	}
	if in.Headers == nil || string(in.Headers) == "null" {
		return nil
	}
	value, err := parseTableValue(in.Headers)
	if err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	headers, ok := value.(amqp.Table)
	if !ok {
		return errors.New("headers must be an object")
	}
	for name, value := range p.Headers {
		if _, there := headers[name]; !there {
			headers[name] = value
		}
	}
	p.Headers = headers
	return nil
}
