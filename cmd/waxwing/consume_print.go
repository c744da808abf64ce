package main

import (
	"bufio"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// printOptions say how consume writes a record.
type printOptions struct {
	json      bool
	key       bool
	headers   bool
	separator string
	format    string
}

// addTo adds the flags to cmd.
func (o *printOptions) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&o.json, "json", false, "print each record as one line of JSON")
	fs.BoolVar(&o.key, "print-key", false, "print the key before the value")
	fs.BoolVar(&o.headers, "print-headers", false, "print the headers before the key and the value")
	fs.StringVarP(&o.separator, "key-separator", "K", `\t`, "text between headers, key and value")
	fs.StringVar(&o.format, "format", "", `print by this layout, such as '%k %v\n'`)
	for _, other := range []string{"print-key", "print-headers", "format"} {
		cmd.MarkFlagsMutuallyExclusive("json", other)
	}
	cmd.MarkFlagsMutuallyExclusive("format", "print-key")
	cmd.MarkFlagsMutuallyExclusive("format", "print-headers")
}

// printer returns a function that writes one record to w.
func (o *printOptions) printer(w *bufio.Writer) (func(*kgo.Record) error, error) {
	separator, err := unescape(o.separator)
	if err != nil {
		return nil, fmt.Errorf("--key-separator: %w", err)
	}
	switch {
	case o.json:
		lines := newRecordPrinter()
		return func(r *kgo.Record) error {
			_, err := w.Write(lines.line(r))
			return err
		}, nil
	case o.format != "":
		formatter, err := kgo.NewRecordFormatter(o.format)
		if err != nil {
			return nil, fmt.Errorf("--format: %w", err)
		}
		var line []byte
		return func(r *kgo.Record) error {
			line = formatter.AppendRecord(line[:0], r)
			_, err := w.Write(line)
			return err
		}, nil
	}
	return func(r *kgo.Record) error {
		if o.headers {
			printHeaders(w, r.Headers)
			w.WriteString(separator)
		}
		if o.key {
			w.Write(r.Key)
			w.WriteString(separator)
		}
		w.Write(r.Value)
		return w.WriteByte('\n') // a bufio.Writer keeps the first error
	}, nil
}

// printHeaders writes name=value pairs with commas between them.
func printHeaders(w *bufio.Writer, headers []kgo.RecordHeader) {
	for i, h := range headers {
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteString(h.Key)
		w.WriteByte('=')
		w.Write(h.Value)
	}
}
