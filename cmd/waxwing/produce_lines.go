package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lineBytesMax is the longest input line that produce accepts.
const lineBytesMax = 64 << 20

// lineFormat says how an input line becomes a record.
type lineFormat struct {
	json        bool
	separator   string // between key and value; "" means no key
	key         []byte // of every record that has none of its own; nil for none
	headers     []kgo.RecordHeader
	partition   int32 // of every record that names none; noPartition for by key
	emptyIsNull bool
}

// each calls fn with a record for each line of in until fn returns false. A
// last line without a newline counts; blank lines count unless they are to be
// JSON. The error names the line.
func (f *lineFormat) each(in io.Reader, fn func(*kgo.Record) bool) error {
	reader := bufio.NewReaderSize(in, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(reader)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if f.json && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		record, err := f.record(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if !fn(record) {
			return nil
		}
	}
}

// readLine returns the next line without its newline, in memory of its own, or
// io.EOF after the last.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > lineBytesMax {
			return nil, fmt.Errorf("longer than %d bytes", lineBytesMax)
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		default:
			return nil, err
		}
	}
}

// record makes a record of one line. It keeps line.
func (f *lineFormat) record(line []byte) (*kgo.Record, error) {
	record := &kgo.Record{Value: line, Partition: noPartition}
	if f.json {
		var err error
		if record, err = parseJSONRecord(line); err != nil {
			return nil, err
		}
	} else if f.separator != "" {
		if key, value, ok := bytes.Cut(line, []byte(f.separator)); ok {
			record.Key, record.Value = key, value
		}
	}
	if record.Key == nil {
		record.Key = f.key
	}
	if record.Partition == noPartition {
		record.Partition = f.partition
	}
	if f.emptyIsNull && len(record.Value) == 0 {
		record.Value = nil
	}
	record.Headers = append(record.Headers, f.headers...)
	return record, nil
}

// parseHeaders reads name=value pairs. The same name may come more than once,
// as it may in Kafka.
func parseHeaders(pairs []string) ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q must be name=value", pair)
		}
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return headers, nil
}

// unescape reads \t, \n, \x00 and the like, which a shell passes on as typed.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		return "", fmt.Errorf("%q is not a valid escape", s)
	}
	return text, nil
}
