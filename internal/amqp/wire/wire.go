// Package wire is the codec of AMQP 0-9-1 with RabbitMQ's extensions, as a
// broker needs it: frames, methods, content headers, properties and field
// tables, decoded from bytes that the caller has read and appended to bytes
// that the caller will write. It does no I/O, starts no goroutine and holds no
// state; every function may be called from any goroutine.
//
// Ownership: decoding copies nothing but short strings. A []byte, a Table, an
// Array, a Value or a RawProperties that comes out of a decoder aliases what
// went in, and is valid as long as those bytes are left alone. Appending
// functions keep no reference to what they are given.
//
// Exactness: tables and properties are kept as the bytes that their sender
// wrote, so headers pass through a broker unchanged, types, order and repeated
// keys included. Methods are decoded into one struct each; what the
// specification reserves is ignored on the way in and zero on the way out.
//
// Limits: a frame's size is checked before there is memory for it
// (ParseFrameHeader); a table is walked once, without allocating, within a
// depth and a number of fields (ParseTable). Names are not checked to be
// UTF-8: bytes are kept as they are.
//
// docs/format/amqp-framing.md draws the bytes.
package wire

// Limits of the format.
const (
	// ShortStrMax is the longest short string, in bytes. Appending cuts a
	// longer one: names that do not come from this protocol have to be
	// checked where they come in.
	ShortStrMax = 255

	// TableDepthMax is how deep tables and arrays may lie in each other; a
	// table that holds no other has depth 1.
	TableDepthMax = 64

	// TableFieldsMax is how many fields and elements a table may have, those
	// of the tables and arrays inside it included.
	TableFieldsMax = 65536
)
