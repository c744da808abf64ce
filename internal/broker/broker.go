// Package broker is Waxwing's core: shards, each a totally ordered log with
// one sequencer, and the view of what is durable. It speaks no protocol.
//
// Commands are submitted and answered once what they were decided upon is
// durable; reads go to the view and never enter a sequencer. DESIGN.md in
// this folder tells the story.
package broker

// TopicID is the UUID of a topic. A topic that is created again has a new one.
type TopicID [16]byte

// Bounds are the durable limits of a partition.
type Bounds struct {
	Start         int64 // first offset that can be read
	HighWatermark int64 // one above the last durable offset
	LastStable    int64 // one above the last offset that is committed
	Epoch         int32 // current leader epoch
}

// EpochEnd is the answer to "where did this leader epoch end".
type EpochEnd struct {
	Epoch int32 // the largest epoch at or below the one asked for; -1 if there is none
	End   int64 // the offset where it ended; -1 if there is none
}

// Found is a record found by timestamp.
type Found struct {
	Offset    int64 // -1: there is none
	Timestamp int64 // ms
	Epoch     int32 // leader epoch of its batch
}

// Stats are the broker's own numbers.
type Stats struct {
	Slots, Entries, Bytes uint64 // made durable since the start; Bytes with heads
	Topics, Partitions    int
	Full                  bool // producers are refused: the disk is full
}

// Stats sums up all shards.
func (b *Broker) Stats() Stats {
	var st Stats
	for _, s := range b.shards {
		js := s.j.Stats()
		st.Slots += js.Slots.Load()
		st.Entries += js.Entries.Load()
		st.Bytes += js.Bytes.Load()
		st.Full = st.Full || s.full.Load() && s.eng.Scarce()
	}
	b.view.mu.RLock()
	defer b.view.mu.RUnlock()
	st.Topics = len(b.view.byID)
	for _, t := range b.view.byID {
		st.Partitions += len(t.Partitions)
	}
	return st
}
