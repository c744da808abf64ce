package journal

// Machine is the durable state that a log describes. It changes only in
// Apply, in the running broker, in recovery and in the checkpointer alike.
type Machine interface {
	// Apply takes one fact in. It must not validate, refuse, read settings
	// or depend on the order of a map. It fails only when the entry cannot be
	// decoded, or is of a type or version that this build does not know
	// (wrapping engine.ErrNewer).
	Apply(Entry) error
	// Snapshot appends the whole state to dst. Equal states give equal bytes.
	Snapshot(dst []byte) []byte
	// Restore replaces the state by what Snapshot gave. It keeps no
	// reference to b.
	Restore(b []byte) error
}
