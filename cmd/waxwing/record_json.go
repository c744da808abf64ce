package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A record as one line of JSON, as `consume --json` prints and `produce --json`
// reads it:
//
//	{"topic":"t","partition":0,"offset":7,"timestamp":"2026-01-02T03:04:05.678Z",
//	 "key":"k","value":"v","headers":[{"key":"h","value":"x"}]}
//
// Bytes that are not UTF-8 stand in base64 under key_base64 and value_base64.
// A key or value that is null is written as null. Reading ignores topic and
// offset, takes a missing partition for "by the key", a missing timestamp for
// "now", and headers also as an object.

// jsonBytes is a key or value as a pair of fields.
type jsonBytes struct {
	text   json.RawMessage
	binary *[]byte
}

// jsonRecord is the line that is read.
type jsonRecord struct {
	Topic       string          `json:"topic"`
	Offset      int64           `json:"offset"`
	Partition   *int32          `json:"partition"`
	Timestamp   json.RawMessage `json:"timestamp"`
	Key         json.RawMessage `json:"key"`
	KeyBase64   *[]byte         `json:"key_base64"`
	Value       json.RawMessage `json:"value"`
	ValueBase64 *[]byte         `json:"value_base64"`
	Headers     json.RawMessage `json:"headers"`
}

// jsonHeader is one header of a record.
type jsonHeader struct {
	Key         string          `json:"key"`
	Value       json.RawMessage `json:"value,omitempty"`
	ValueBase64 *[]byte         `json:"value_base64,omitempty"`
}

// parseJSONRecord reads one line.
func parseJSONRecord(line []byte) (*kgo.Record, error) {
	var in jsonRecord
	if err := strictJSON(line, &in); err != nil {
		return nil, err
	}
	r := &kgo.Record{Partition: noPartition}
	if in.Partition != nil {
		if *in.Partition < 0 {
			return nil, fmt.Errorf("partition must be 0 or more")
		}
		r.Partition = *in.Partition
	}
	var err error
	if r.Key, err = (jsonBytes{in.Key, in.KeyBase64}).bytes("key"); err != nil {
		return nil, err
	}
	if r.Value, err = (jsonBytes{in.Value, in.ValueBase64}).bytes("value"); err != nil {
		return nil, err
	}
	if r.Timestamp, err = parseJSONTime(in.Timestamp); err != nil {
		return nil, err
	}
	if r.Headers, err = parseJSONHeaders(in.Headers); err != nil {
		return nil, err
	}
	return r, nil
}

// strictJSON decodes exactly one JSON value that has no unknown fields.
func strictJSON(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, err := dec.Token(); err != io.EOF {
			return errors.New("more than one JSON value on the line")
		}
		return nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the JSON is cut off")
	}
	return err
}

// bytes returns what the pair of fields holds; nil for null or neither.
func (b jsonBytes) bytes(name string) ([]byte, error) {
	switch {
	case b.binary != nil && b.text != nil:
		return nil, fmt.Errorf("both %s and %s_base64 are given", name, name)
	case b.binary != nil:
		return *b.binary, nil
	case b.text == nil, string(b.text) == "null":
		return nil, nil
	case b.text[0] != '"':
		return b.text, nil
	}
	var text string
	if err := json.Unmarshal(b.text, &text); err != nil {
		return nil, err
	}
	return []byte(text), nil
}

// parseJSONTime reads RFC 3339 text or milliseconds since 1970; absent means
// the zero time.
func parseJSONTime(text json.RawMessage) (time.Time, error) {
	if text == nil || string(text) == "null" {
		return time.Time{}, nil
	}
	var millis int64
	if json.Unmarshal(text, &millis) == nil {
		return time.UnixMilli(millis), nil
	}
	var t time.Time
	if err := json.Unmarshal(text, &t); err != nil {
		return t, errors.New(`timestamp must be like "2026-01-02T03:04:05Z" or milliseconds since 1970`)
	}
	return t, nil
}

// parseJSONHeaders reads a list of {key, value} or an object.
func parseJSONHeaders(text json.RawMessage) ([]kgo.RecordHeader, error) {
	if text == nil || string(text) == "null" {
		return nil, nil
	}
	var list []jsonHeader
	if text[0] == '{' {
		var err error
		if list, err = headerObject(text); err != nil {
			return nil, err
		}
	} else if err := strictJSON(text, &list); err != nil {
		return nil, errors.New("headers must be a list of {key, value} or an object")
	}
	var headers []kgo.RecordHeader
	for _, h := range list {
		value, err := jsonBytes{h.Value, h.ValueBase64}.bytes("value")
		if err != nil {
			return nil, err
		}
		headers = append(headers, kgo.RecordHeader{Key: h.Key, Value: value})
	}
	return headers, nil
}

// headerObject reads {"name": "value"} in the order of the text.
func headerObject(text json.RawMessage) ([]jsonHeader, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var list []jsonHeader
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		list = append(list, jsonHeader{Key: name.(string), Value: value})
	}
	return list, nil
}

// recordPrinter writes records as lines of JSON.
type recordPrinter struct {
	buf  bytes.Buffer
	text *json.Encoder // writes into buf
}

func newRecordPrinter() *recordPrinter {
	p := &recordPrinter{}
	p.text = json.NewEncoder(&p.buf)
	p.text.SetEscapeHTML(false)
	return p
}

// line returns r as one line with its newline, valid until the next call.
func (p *recordPrinter) line(r *kgo.Record) []byte {
	p.buf.Reset()
	p.buf.WriteString(`{"topic":`)
	p.quote(r.Topic)
	fmt.Fprintf(&p.buf, `,"partition":%d,"offset":%d,"timestamp":"%s",`,
		r.Partition, r.Offset, r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z"))
	p.field("key", r.Key)
	p.buf.WriteByte(',')
	p.field("value", r.Value)
	if len(r.Headers) > 0 {
		p.buf.WriteString(`,"headers":[`)
		for i, h := range r.Headers {
			if i > 0 {
				p.buf.WriteByte(',')
			}
			p.buf.WriteString(`{"key":`)
			p.quote(h.Key)
			p.buf.WriteByte(',')
			p.field("value", h.Value)
			p.buf.WriteByte('}')
		}
		p.buf.WriteByte(']')
	}
	p.buf.WriteString("}\n")
	return p.buf.Bytes()
}

// field writes "name":"text", "name":null or "name_base64":"bytes".
func (p *recordPrinter) field(name string, b []byte) {
	switch {
	case b == nil:
		fmt.Fprintf(&p.buf, `"%s":null`, name)
	case utf8.Valid(b):
		fmt.Fprintf(&p.buf, `"%s":`, name)
		p.quote(string(b))
	default:
		fmt.Fprintf(&p.buf, `"%s_base64":"%s"`, name, base64.StdEncoding.EncodeToString(b))
	}
}

// quote writes s as a JSON string, without the newline that Encode adds.
func (p *recordPrinter) quote(s string) {
	must(p.text.Encode(s))
	p.buf.Truncate(p.buf.Len() - 1)
}
