package kafka

import (
	"bytes"
	"fmt"
)

// strangers are the beginnings of other protocols, which people point at the
// port by mistake. Read as the length of a frame, each is above what is
// allowed by default.
var strangers = []struct{ begins, name string }{
	{"\x16\x03", "a TLS ClientHello; this port speaks plain Kafka, without TLS"},
	{"GET ", "HTTP"}, {"HEAD", "HTTP"}, {"POST", "HTTP"}, {"PUT ", "HTTP"}, {"DELE", "HTTP"},
	{"OPTI", "HTTP"}, {"PATC", "HTTP"}, {"CONN", "HTTP"}, {"PRI ", "HTTP/2"},
	{"AMQP", "AMQP; this port speaks Kafka"},
	{"SSH-", "SSH"},
}

// notAFrame is the error of a length that no frame has. The four bytes are
// still in the reader.
func (r *frameReader) notAFrame(size int64) error {
	head, _ := r.br.Peek(4)
	for _, s := range strangers {
		if bytes.HasPrefix(head, []byte(s.begins)) {
			return fmt.Errorf("this looks like %s", s.name)
		}
	}
	return fmt.Errorf("frame of %d bytes, allowed are %d to %d", size, frameMin, r.max)
}
