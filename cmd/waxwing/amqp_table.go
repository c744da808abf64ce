package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The values of AMQP's tables, as flags and JSON write them. Texts, booleans,
// null, lists and objects are as in JSON. A number with a fraction or an
// exponent is a double, any other a 64-bit integer. What JSON has not stands in
// an object of one field:
//
//	{"$base64": "/w=="}                  bytes, and texts that are not UTF-8
//	{"$time": "2026-01-02T03:04:05Z"}    a time, to the second
const (
	tableBase64 = "$base64"
	tableTime   = "$time"
)

// argumentsValue is a flag that is given once per name=value, whose value is
// read as JSON if it is JSON, as a text otherwise.
type argumentsValue amqp.Table

func (a argumentsValue) Type() string { return "name=value" }

func (a argumentsValue) String() string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		text, err := json.Marshal(toJSON(a[name]))
		must(err)
		pairs = append(pairs, name+"="+string(text))
	}
	return strings.Join(pairs, ";")
}

func (a argumentsValue) Set(s string) error {
	name, text, ok := strings.Cut(s, "=")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return fmt.Errorf("must be name=value")
	}
	value, err := parseArgument(text)
	if err != nil {
		return err
	}
	a[name] = value
	return nil
}

// parseArgument reads the value of one argument.
func parseArgument(text string) (any, error) {
	if !json.Valid([]byte(text)) {
		if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") || strings.HasPrefix(text, `"`) {
			return nil, fmt.Errorf("%s is not valid JSON", text)
		}
		return text, nil
	}
	return parseTableValue([]byte(text))
}

// parseTableValue reads one JSON value as a value of a table.
func parseTableValue(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return fromJSON(value)
}

// fromJSON is what encoding/json decoded, with numbers as json.Number, as a
// value of a table.
func fromJSON(value any) (any, error) {
	switch v := value.(type) {
	case json.Number:
		return fromNumber(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			var err error
			if list[i], err = fromJSON(v[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		return fromObject(v)
	}
	return value, nil
}

func fromNumber(n json.Number) (any, error) {
	if strings.ContainsAny(string(n), ".eE") {
		f, err := n.Float64()
		if err != nil {
			return nil, fmt.Errorf("%s is too large", n)
		}
		return f, nil
	}
	i, err := n.Int64()
	if err != nil {
		return nil, fmt.Errorf("%s does not fit into 64 bits", n)
	}
	return i, nil
}

// fromObject is a table, or one of the values that JSON has not.
func fromObject(object map[string]any) (any, error) {
	if text, ok := object[tableBase64].(string); ok && len(object) == 1 {
		return base64.StdEncoding.DecodeString(text)
	}
	if text, ok := object[tableTime].(string); ok && len(object) == 1 {
		return time.Parse(time.RFC3339, text)
	}
	t := amqp.Table{}
	for name, value := range object {
		v, err := fromJSON(value)
		if err != nil {
			return nil, err
		}
		if len(name) > 255 {
			return nil, fmt.Errorf("the name %.20s… is longer than 255 bytes", name)
		}
		t[name] = v
	}
	return t, nil
}

// toJSON is a value of a table as encoding/json writes it.
func toJSON(value any) any {
	switch v := value.(type) {
	case string:
		if !utf8.ValidString(v) {
			return map[string]any{tableBase64: []byte(v)}
		}
	case []byte:
		return map[string]any{tableBase64: v}
	case time.Time:
		return map[string]any{tableTime: v.UTC()}
	case float32:
		return floatJSON(float64(v), 32)
	case float64:
		return floatJSON(v, 64)
	case amqp.Decimal:
		return json.Number(strconv.FormatInt(int64(v.Value), 10) + "e-" + strconv.Itoa(int(v.Scale)))
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = toJSON(v[i])
		}
		return list
	case amqp.Table:
		object := make(map[string]any, len(v))
		for name := range v {
			object[name] = toJSON(v[name])
		}
		return object
	}
	return value
}

// floatJSON writes a float so that it is read as one again. Infinity and the
// like, which JSON has not, become texts.
func floatJSON(f float64, bits int) any {
	text := strconv.FormatFloat(f, 'g', -1, bits)
	switch {
	case math.IsInf(f, 0) || math.IsNaN(f):
		return text
	case !strings.ContainsAny(text, ".e"):
		text += ".0"
	}
	return json.Number(text)
}
