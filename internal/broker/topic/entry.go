package topic

import (
	"encoding/binary"
	"math"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
)

// The entries of this package are facts about logs and topics. Each draws its
// bytes above its encoder (u: unsigned varint, s: signed varint, str: length
// and bytes). What a released version means never changes.

// ID is a topic's UUID.
type ID [16]byte

// Appended says that a batch was added to a log.
//
//	u log · s first offset · u records · s producer id (-1: none)
//	with a producer: s producer epoch · u first sequence
type Appended struct {
	Log           datafile.LogID
	Base          int64
	Count         int64
	ProducerID    int64
	ProducerEpoch int16
	FirstSequence int32
}

// Append encodes the entry.
func (e *Appended) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.Log))
	dst = binary.AppendVarint(dst, e.Base)
	dst = binary.AppendUvarint(dst, uint64(e.Count))
	dst = binary.AppendVarint(dst, e.ProducerID)
	if e.ProducerID >= 0 {
		dst = binary.AppendVarint(dst, int64(e.ProducerEpoch))
		dst = binary.AppendUvarint(dst, uint64(e.FirstSequence))
	}
	return dst
}

// Decode is the reverse of Append.
func (e *Appended) Decode(b []byte) error {
	r := enc.NewReader(b)
	*e = Appended{Log: datafile.LogID(r.Uvarint()), Base: r.Varint(), Count: int64(readUpTo(&r, math.MaxInt64)), ProducerID: r.Varint()}
	if e.ProducerID >= 0 {
		e.ProducerEpoch = readEpoch(&r)
		e.FirstSequence = readSequence(&r)
	}
	return r.Done()
}

// Opened says that the shard holds logs for partitions of a topic.
//
//	16 bytes topic · u first log · u count · count × u partition
//
// The i-th partition has the log first+i.
type Opened struct {
	Topic      ID
	First      datafile.LogID
	Partitions []int32
}

// Append encodes the entry.
func (e *Opened) Append(dst []byte) []byte {
	dst = append(dst, e.Topic[:]...)
	dst = binary.AppendUvarint(dst, uint64(e.First))
	dst = binary.AppendUvarint(dst, uint64(len(e.Partitions)))
	for _, p := range e.Partitions {
		dst = binary.AppendUvarint(dst, uint64(p))
	}
	return dst
}

// Decode is the reverse of Append.
func (e *Opened) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.Topic[:], r.Take(16))
	e.First = datafile.LogID(r.Uvarint())
	e.Partitions = make([]int32, r.Count(1))
	for i := range e.Partitions {
		e.Partitions[i] = int32(readUpTo(&r, math.MaxInt32))
	}
	return r.Done()
}

// Dropped says that the shard's logs of a topic are gone.
//
//	16 bytes topic
type Dropped struct{ Topic ID }

// Append encodes the entry.
func (e *Dropped) Append(dst []byte) []byte { return append(dst, e.Topic[:]...) }

// Decode is the reverse of Append.
func (e *Dropped) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.Topic[:], r.Take(16))
	return r.Done()
}

// Closed says that the shard's logs of a topic's partitions from From on are
// gone: they were opened, and the topic has not grown.
//
//	16 bytes topic · u from
type Closed struct {
	Topic ID
	From  int32
}

// Append encodes the entry.
func (e *Closed) Append(dst []byte) []byte {
	return binary.AppendUvarint(append(dst, e.Topic[:]...), uint64(e.From))
}

// Decode is the reverse of Append.
func (e *Closed) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.Topic[:], r.Take(16))
	e.From = int32(readUpTo(&r, math.MaxInt32))
	return r.Done()
}

// Started says that a log now begins at Start; what is below is gone.
//
//	u log · s start
type Started struct {
	Log   datafile.LogID
	Start int64
}

// Append encodes the entry.
func (e *Started) Append(dst []byte) []byte {
	return binary.AppendVarint(binary.AppendUvarint(dst, uint64(e.Log)), e.Start)
}

// Decode is the reverse of Append.
func (e *Started) Decode(b []byte) error {
	r := enc.NewReader(b)
	*e = Started{Log: datafile.LogID(r.Uvarint()), Start: r.Varint()}
	return r.Done()
}

// ProducersExpired says that every log forgets the producers whose last batch
// is older than Before (ms).
//
//	s before
type ProducersExpired struct{ Before int64 }

// Append encodes the entry.
func (e *ProducersExpired) Append(dst []byte) []byte { return binary.AppendVarint(dst, e.Before) }

// Decode is the reverse of Append.
func (e *ProducersExpired) Decode(b []byte) error {
	r := enc.NewReader(b)
	e.Before = r.Varint()
	return r.Done()
}

// ProducerOf is a producer as one log knows it.
type ProducerOf struct {
	Log datafile.LogID
	ID  int64 // producer id
}

// ProducersForgotten says that logs forget some producers, of which there were
// too many.
//
//	u count · count × (u log · s producer id)
type ProducersForgotten struct{ Producers []ProducerOf }

// Append encodes the entry.
func (e *ProducersForgotten) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(e.Producers)))
	for _, p := range e.Producers {
		dst = binary.AppendVarint(binary.AppendUvarint(dst, uint64(p.Log)), p.ID)
	}
	return dst
}

// Decode is the reverse of Append.
func (e *ProducersForgotten) Decode(b []byte) error {
	r := enc.NewReader(b)
	e.Producers = make([]ProducerOf, r.Count(2))
	for i := range e.Producers {
		e.Producers[i] = ProducerOf{Log: datafile.LogID(r.Uvarint()), ID: r.Varint()}
	}
	return r.Done()
}

// Created says that a topic exists, and where its partitions are. It stands
// in the log of shard 0, after each shard has opened its part.
//
//	16 bytes id · str name · settings · u partitions · partitions × u shard
//	settings: u count · count × (str key · str value), sorted by key
type Created struct {
	ID       ID
	Name     string
	Settings map[string]string
	Shards   []uint32 // of each partition
}

// Append encodes the entry.
func (e *Created) Append(dst []byte) []byte {
	dst = append(dst, e.ID[:]...)
	dst = enc.String(dst, e.Name)
	dst = appendSettings(dst, e.Settings)
	return appendShards(dst, e.Shards)
}

// Decode is the reverse of Append.
func (e *Created) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.ID[:], r.Take(16))
	e.Name = r.String()
	e.Settings = readSettings(&r)
	e.Shards = readShards(&r)
	return r.Done()
}

// Deleted says that a topic is gone.
//
//	16 bytes id
type Deleted struct{ ID ID }

// Append encodes the entry.
func (e *Deleted) Append(dst []byte) []byte { return append(dst, e.ID[:]...) }

// Decode is the reverse of Append.
func (e *Deleted) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.ID[:], r.Take(16))
	return r.Done()
}

// Grown says that a topic has more partitions.
//
//	16 bytes id · u partitions · partitions × u shard    of those added
type Grown struct {
	ID     ID
	Shards []uint32
}

// Append encodes the entry.
func (e *Grown) Append(dst []byte) []byte {
	return appendShards(append(dst, e.ID[:]...), e.Shards)
}

// Decode is the reverse of Append.
func (e *Grown) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.ID[:], r.Take(16))
	e.Shards = readShards(&r)
	return r.Done()
}

// Configured says what settings a topic has from now on; the zero id means
// the broker itself.
//
//	16 bytes id · settings
type Configured struct {
	ID       ID
	Settings map[string]string
}

// Append encodes the entry.
func (e *Configured) Append(dst []byte) []byte {
	return appendSettings(append(dst, e.ID[:]...), e.Settings)
}

// Decode is the reverse of Append.
func (e *Configured) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.ID[:], r.Take(16))
	e.Settings = readSettings(&r)
	return r.Done()
}

// ProducerGiven says that a producer id was given out.
//
//	u id
type ProducerGiven struct{ ProducerID int64 }

// Append encodes the entry.
func (e *ProducerGiven) Append(dst []byte) []byte {
	return binary.AppendUvarint(dst, uint64(e.ProducerID))
}

// Decode is the reverse of Append.
func (e *ProducerGiven) Decode(b []byte) error {
	r := enc.NewReader(b)
	e.ProducerID = int64(readUpTo(&r, math.MaxInt64))
	return r.Done()
}

// Founded says that the cluster exists, what its id is, and over how many
// shards groups are spread from now on.
//
//	16 bytes id · u shards
type Founded struct {
	Cluster [16]byte
	Shards  uint32
}

// Append encodes the entry.
func (e *Founded) Append(dst []byte) []byte {
	return binary.AppendUvarint(append(dst, e.Cluster[:]...), uint64(e.Shards))
}

// Decode is the reverse of Append.
func (e *Founded) Decode(b []byte) error {
	r := enc.NewReader(b)
	copy(e.Cluster[:], r.Take(16))
	e.Shards = uint32(readUpTo(&r, math.MaxUint32))
	return r.Done()
}

func appendSettings(dst []byte, m map[string]string) []byte {
	keys := sortedKeys(m)
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	for _, k := range keys {
		dst = enc.String(enc.String(dst, k), m[k])
	}
	return dst
}

func readSettings(r *enc.Reader) map[string]string {
	n := r.Count(2)
	m := make(map[string]string, n)
	for ; n > 0; n-- {
		k := r.String()
		m[k] = r.String()
	}
	return m
}

func appendShards(dst []byte, shards []uint32) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(shards)))
	for _, s := range shards {
		dst = binary.AppendUvarint(dst, uint64(s))
	}
	return dst
}

func readShards(r *enc.Reader) []uint32 {
	shards := make([]uint32, r.Count(1))
	for i := range shards {
		shards[i] = uint32(readUpTo(r, math.MaxUint32))
	}
	return shards
}

// readUpTo reads an uvarint that is at most max; what is more is malformed.
func readUpTo(r *enc.Reader, max uint64) uint64 {
	v := r.Uvarint()
	if v > max {
		malformed(r)
		return 0
	}
	return v
}

// readEpoch reads a producer's epoch.
func readEpoch(r *enc.Reader) int16 {
	v := r.Varint()
	if v != int64(int16(v)) {
		malformed(r)
		return 0
	}
	return int16(v)
}

// malformed makes the reader fail: no input has so few bytes.
func malformed(r *enc.Reader) { r.Take(-1) }
