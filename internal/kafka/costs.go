package kafka

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What requests and responses take in memory, in bytes, as it is counted
// before it is taken. These are bounds from above: a response is counted with
// its encoding, which grows by doubling, and shrinks to what it has become.
const (
	callBytes           = 1 << 10 // any request
	elementBytes        = 256     // an array element, decoded, and what a handler makes of it
	produceElementBytes = 384     // of a produce: with its place in the response
	fetchElementBytes   = 512     // of a fetch: with its want, its result and its place in a session
	fetchWaitBytes      = 384     // a partition of a fetch that waits

	answerBytes          = 512      // any response
	answerElementBytes   = 400      // what the response says about one element
	topicMetadataBytes   = 640      // a topic in Metadata and the like, with the longest name
	topicRefBytes        = 64       // a topic in a list of all
	partMetadataBytes    = 256      // a partition
	configEntryBytes     = 800      // a setting with synonyms and documentation, without long values
	createdTopicBytes    = 12 << 10 // a topic with its settings in CreateTopics
	describedMemberBytes = 320      // a member of a group, without its texts
	listedGroupBytes     = 320
	offsetBytes          = 192 // a committed offset, without its text
	producerBytes        = 192

	// longTextTimes is how often a text is in memory: as it was, and encoded.
	longTextTimes = 4
)

// workBytes is what the request takes once it is decoded.
func (s *Server) workBytes(k *call) int64 {
	n := int64(k.elements)
	switch kmsg.Key(k.header.key) {
	case kmsg.Produce:
		// Its strings and batches alias the frame.
		return callBytes + produceElementBytes*n
	case kmsg.Fetch:
		n += int64(s.sessions.size(fetchSessionID(k)))
		return callBytes + fetchElementBytes*n + int64(len(k.body))
	}
	return callBytes + elementBytes*n + int64(len(k.body))
}

// fetchSessionID reads the session id of a fetch that is not decoded yet:
// it comes after replica id (up to version 14), max wait, min bytes, max
// bytes and isolation level.
func fetchSessionID(k *call) int32 {
	at := 13
	if k.header.version < 15 {
		at += 4
	}
	if k.header.version < 7 || len(k.body) < at+4 {
		return 0
	}
	return int32(binary.BigEndian.Uint32(k.body[at:]))
}

// responseBytes is what a response takes that says a little about each element
// of its request.
func (s *Server) responseBytes(k *call) int64 {
	return answerBytes + answerElementBytes*int64(k.elements) + longTextTimes*int64(len(k.body))
}

// allMetadataBytes is what a response about all topics takes.
func (s *Server) allMetadataBytes() int64 {
	st := s.broker.Stats()
	return topicMetadataBytes*int64(st.Topics) + partMetadataBytes*int64(st.Partitions)
}

// grow counts n more bytes of the response. It is false if there is no room
// now, and the answer is an error on which clients try again.
func (rq *request) grow(n int64) bool { return rq.held.grow(n) }

// resize is grow, for n bytes in all.
func (rq *request) resize(n int64) bool {
	if more := n - rq.held.n; more > 0 {
		return rq.held.grow(more)
	}
	rq.held.shrink(n)
	return true
}
