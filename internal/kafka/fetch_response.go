package kafka

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// The response of Fetch is encoded by hand, because its records are not in
// memory: they go from the files to the socket while it is written.
//
//	i32 throttle · i16 error (7+) · i32 session id (7+) · topics
//	topic: string name (-12) or uuid (13+) · partitions
//	partition: i32 index · i16 error · i64 high watermark · i64 last stable
//	  offset · i64 log start (5+) · aborted transactions · i32 preferred
//	  replica (11+) · i32 length of the records · the records
//
// From 12 on lengths are varints, one more than what they say, and everything
// ends with its tagged fields: 0 (diverging epoch) and 1 (current leader) of a
// partition, 0 (brokers, 16+) of the whole.

// fetchResult is what is said about one partition.
type fetchResult struct {
	want       *fetchWant
	err        error
	bounds     broker.Bounds
	plan       broker.Plan
	planned    bool // plan is to be closed
	cut        bool // a limit, and not the end of what there is, ended it
	diverges   broker.EpochEnd
	divergence bool
}

func (r *fetchResult) close() {
	if r.planned {
		r.plan.Close()
		r.planned = false
	}
}

// fetchResponse is an encoded response: head holds everything but the records,
// and cuts say where they go.
type fetchResponse struct {
	head  []byte
	cuts  []fetchCut
	size  int64 // of head and records
	about []fetchResult
}

type fetchCut struct {
	at   int // the records come before head[at]
	plan *broker.Plan
}

func (f *fetchResponse) close() {
	for i := range f.about {
		f.about[i].close()
	}
	if f.head != nil && cap(f.head) <= 4*outBytes {
		b := f.head[:0]
		outBuffers.Put(&b)
	}
	f.head, f.cuts, f.about = nil, nil, nil
}

// write sends the response. If it fails after it has begun, the connection
// must be closed.
func (f *fetchResponse) write(out *outBuffer) error {
	if f.size-4 > 1<<31-1 {
		return errResponseTooLarge
	}
	binary.BigEndian.PutUint32(f.head, uint32(f.size-4))
	done := 0
	for _, cut := range f.cuts {
		if _, err := out.Write(f.head[done:cut.at]); err != nil {
			return err
		}
		done = cut.at
		n, err := cut.plan.WriteTo(out)
		if err == nil && n != cut.plan.Bytes() {
			err = fmt.Errorf("a fetch sent %d bytes of records instead of %d", n, cut.plan.Bytes())
		}
		if err != nil {
			return err
		}
	}
	_, err := out.Write(f.head[done:])
	return err
}

// fetchEncoder builds a fetchResponse.
type fetchEncoder struct {
	b        []byte
	version  int16
	flexible bool
	fetchResponse
}

// fetchPartitionBytes is about what a partition takes without its records.
const fetchPartitionBytes = 48

// encodeFetch encodes a response about these partitions, those of a topic one
// after the other. It takes over the results.
func encodeFetch(r *reply, version int16, top error, session int32, about []fetchResult, leader leader, committed bool) *fetchResponse {
	e := fetchEncoder{b: (*outBuffers.Get().(*[]byte))[:0], version: version, flexible: version >= 12}
	e.about = about
	e.b = slices.Grow(e.b, 64+fetchPartitionBytes*len(about))
	e.b = appendResponseHeader(e.b, r)
	e.int32(0) // throttle
	if version >= 7 {
		e.int16(code(top))
		e.int32(session)
	}
	e.arrayLen(countTopics(about))
	moved := false
	for i := 0; i < len(about); {
		n := sameTopic(about[i:])
		e.topic(about[i].want)
		e.arrayLen(n)
		for j := i; j < i+n; j++ {
			moved = e.partition(&about[j], leader, committed) || moved
		}
		e.noTags()
		i += n
	}
	e.endpoints(moved, leader)
	e.head = e.b
	e.size += int64(len(e.b))
	return &e.fetchResponse
}

// leader is where clients reach the leader of every partition.
type leader struct {
	node int32
	host string
	port int32
}

// sameTopic counts the results at the front that are about one topic.
func sameTopic(about []fetchResult) int {
	n := 1
	for n < len(about) && about[n].want.key.name == about[0].want.key.name && about[n].want.key.id == about[0].want.key.id {
		n++
	}
	return n
}

func countTopics(about []fetchResult) int {
	topics := 0
	for len(about) > 0 {
		about = about[sameTopic(about):]
		topics++
	}
	return topics
}

func (e *fetchEncoder) topic(w *fetchWant) {
	switch {
	case e.version >= 13:
		e.b = append(e.b, w.key.id[:]...)
	case e.flexible:
		e.b = binary.AppendUvarint(e.b, uint64(len(w.key.name))+1)
		e.b = append(e.b, w.key.name...)
	default:
		e.int16(int16(len(w.key.name)))
		e.b = append(e.b, w.key.name...)
	}
}

// partition reports whether it says that the client's leader is not current.
func (e *fetchEncoder) partition(r *fetchResult, leader leader, committed bool) (moved bool) {
	e.int32(r.want.key.index)
	e.int16(code(r.err))
	e.int64(r.bounds.HighWatermark)
	e.int64(r.bounds.LastStable)
	if e.version >= 5 {
		e.int64(r.bounds.Start)
	}
	if committed {
		e.arrayLen(0) // nothing is ever aborted
	} else {
		e.nullArray()
	}
	if e.version >= 11 {
		e.int32(-1) // no replica is better than this one
	}
	e.records(r)
	if !e.flexible {
		return false
	}
	moved = e.version >= 16 && r.err == error(kerr.FencedLeaderEpoch)
	e.partitionTags(r, leader, moved)
	return moved
}

func (e *fetchEncoder) records(r *fetchResult) {
	var n int64
	if r.planned {
		n = r.plan.Bytes()
	}
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
	if n > 0 {
		e.cuts = append(e.cuts, fetchCut{len(e.b), &r.plan})
		e.size += n
	}
}

func (e *fetchEncoder) partitionTags(r *fetchResult, leader leader, moved bool) {
	tags := byte(0)
	if r.divergence {
		tags++
	}
	if moved {
		tags++
	}
	e.b = append(e.b, tags)
	if r.divergence {
		e.b = append(e.b, 0, 13) // tag, size
		e.int32(r.diverges.Epoch)
		e.int64(r.diverges.End)
		e.noTags()
	}
	if moved {
		e.b = append(e.b, 1, 9)
		e.int32(leader.node)
		e.int32(r.bounds.Epoch)
		e.noTags()
	}
}

// endpoints ends the response: where the leader is, if somebody needs it.
func (e *fetchEncoder) endpoints(moved bool, leader leader) {
	if !moved {
		e.noTags()
		return
	}
	var t fetchEncoder
	t.flexible = true
	t.arrayLen(1)
	t.int32(leader.node)
	t.b = binary.AppendUvarint(t.b, uint64(len(leader.host))+1)
	t.b = append(t.b, leader.host...)
	t.int32(leader.port)
	t.b = append(t.b, 0) // no rack
	t.noTags()
	e.b = append(e.b, 1, 0) // one tag, 0
	e.b = binary.AppendUvarint(e.b, uint64(len(t.b)))
	e.b = append(e.b, t.b...)
}

func (e *fetchEncoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

func (e *fetchEncoder) noTags() {
	if e.flexible {
		e.b = append(e.b, 0)
	}
}

func (e *fetchEncoder) arrayLen(n int) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) nullArray() {
	if e.flexible {
		e.b = append(e.b, 0)
	} else {
		e.int32(-1)
	}
}
