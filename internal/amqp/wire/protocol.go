package wire

import "bytes"

// ProtocolHeader is what an AMQP 0-9-1 client sends first, before any frame. A
// server answers a client that speaks something else with the same bytes, and
// closes.
//
//	+-----+-----+-----+-----+---+---+---+---+
//	| 'A' | 'M' | 'Q' | 'P' | 0 | 0 | 9 | 1 |
//	+-----+-----+-----+-----+---+---+---+---+
const ProtocolHeader = "AMQP\x00\x00\x09\x01"

// ProtocolHeaderLen is the size of a protocol header, in bytes.
const ProtocolHeaderLen = len(ProtocolHeader)

// Protocol is what the first bytes of a connection speak.
type Protocol uint8

// The protocols that ParseProtocol knows.
const (
	// ProtocolUnknown is no header of AMQP.
	ProtocolUnknown Protocol = iota
	// ProtocolAMQP091 is AMQP 0-9-1.
	ProtocolAMQP091
	// ProtocolAMQP09 is AMQP 0-9 ("AMQP" 1 1 0 9), which differs so little
	// that RabbitMQ answers it as if it were 0-9-1.
	ProtocolAMQP09
	// ProtocolAMQP08 is AMQP 0-8 ("AMQP" 1 1 8 0, or 1 1 9 1 as some wrote it).
	ProtocolAMQP08
	// ProtocolAMQP10 is AMQP 1.0, plain, with TLS inside or with SASL
	// ("AMQP" 0, 2 or 3, then 1 0 0).
	ProtocolAMQP10
	// ProtocolAMQPOther is any other version behind "AMQP".
	ProtocolAMQPOther
	// ProtocolTLS is a TLS handshake: the client expects an encrypted port.
	ProtocolTLS
	// ProtocolHTTP is an HTTP request.
	ProtocolHTTP
)

// String names the protocol, for logs and errors.
func (p Protocol) String() string {
	switch p {
	case ProtocolAMQP091:
		return "AMQP 0-9-1"
	case ProtocolAMQP09:
		return "AMQP 0-9"
	case ProtocolAMQP08:
		return "AMQP 0-8"
	case ProtocolAMQP10:
		return "AMQP 1.0"
	case ProtocolAMQPOther:
		return "another version of AMQP"
	case ProtocolTLS:
		return "TLS"
	case ProtocolHTTP:
		return "HTTP"
	}
	return "an unknown protocol"
}

// ParseProtocol says what the first eight bytes of a connection speak.
func ParseProtocol(b [ProtocolHeaderLen]byte) Protocol {
	if version, ok := bytes.CutPrefix(b[:], []byte("AMQP")); ok {
		return amqpVersion([4]byte(version))
	}
	// A TLS record: handshake, version 3.x, length, client hello.
	if b[0] == 0x16 && b[1] == 0x03 && b[5] == 0x01 {
		return ProtocolTLS
	}
	for _, verb := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PRI * HT"} {
		if bytes.HasPrefix(b[:], []byte(verb)) {
			return ProtocolHTTP
		}
	}
	return ProtocolUnknown
}

func amqpVersion(v [4]byte) Protocol {
	switch v {
	case [4]byte{0, 0, 9, 1}:
		return ProtocolAMQP091
	case [4]byte{1, 1, 0, 9}:
		return ProtocolAMQP09
	case [4]byte{1, 1, 8, 0}, [4]byte{1, 1, 9, 1}:
		return ProtocolAMQP08
	case [4]byte{0, 1, 0, 0}, [4]byte{2, 1, 0, 0}, [4]byte{3, 1, 0, 0}:
		return ProtocolAMQP10
	}
	return ProtocolAMQPOther
}
