package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// each calls send with a message for each line of in, or with one for all of
// it, until send returns false. A last line without a newline counts; blank
// lines count unless they are to be JSON. The error names the line.
func (p *publish) each(in io.Reader, send func(*amqpMessage) bool) error {
	if p.whole {
		body, err := io.ReadAll(io.LimitReader(in, lineBytesMax+1))
		if err == nil && len(body) > lineBytesMax {
			err = fmt.Errorf("longer than %d bytes", lineBytesMax)
		}
		if err == nil {
			send(p.message(body))
		}
		return err
	}
	reader := bufio.NewReaderSize(in, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(reader)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && p.json && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		message := p.message(line)
		if err == nil && p.json {
			message, err = p.parse(line)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if !send(message) {
			return nil
		}
	}
}

// message is one with that body. It keeps body.
func (p *publish) message(body []byte) *amqpMessage {
	m := p.base
	m.Body = body
	return &m
}

// parse reads a line of JSON.
func (p *publish) parse(line []byte) (*amqpMessage, error) {
	m, err := parseAMQPLine(line, p.base)
	if err != nil {
		return nil, err
	}
	switch {
	case p.addressed:
		m.exchange, m.key = p.base.exchange, p.base.key
	case m.exchange == "" && m.key == "":
		return nil, errors.New("neither the line nor the command says where to publish to")
	case len(m.exchange) > 255 || len(m.key) > 255:
		return nil, errors.New("exchange and routing_key must not be longer than 255 bytes")
	}
	return m, nil
}
