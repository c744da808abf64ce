package broker

import (
	"bytes"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// TestBytesOfEntries pins the encoding of this package's own entries: these
// bytes never change.
func TestBytesOfEntries(t *testing.T) {
	key := pullKey{TopicID{1, 15: 2}, 300}
	id := "\x01" + string(make([]byte, 14)) + "\x02"
	for _, c := range []struct {
		entry interface {
			Append([]byte) []byte
			Decode([]byte) error
		}
		want string
		cut  int // from so many bytes on it decodes
	}{
		{&pulled{key: key, next: 65}, id + "\xac\x02\x82\x01", 20},
		{&pulled{key: key, next: -1, queues: []byte("q")}, id + "\xac\x02\x01q", 19},
		{&replaced{New: datafileNew, Order: 3, Old: []engine.FileID{3, 300}}, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x03\x02\x03\xac\x02", 15},
		{&trimmed{Files: []engine.FileID{1, 300}}, "\x02\x01\xac\x02", 4},
	} {
		if got := c.entry.Append(nil); string(got) != c.want {
			t.Errorf("%+v: %q, want %q", c.entry, got, c.want)
		}
		if err := c.entry.Decode([]byte(c.want)); err != nil || !bytes.Equal(c.entry.Append(nil), []byte(c.want)) {
			t.Errorf("%q: %+v, %v", c.want, c.entry, err)
		}
		for i := range c.cut {
			if c.entry.Decode([]byte(c.want[:i])) == nil {
				t.Errorf("%T decodes from %d of %d bytes", c.entry, i, len(c.want))
			}
		}
	}
	if e := new(pulled); e.Decode([]byte(id+"\x80\x80\x80\x80\x10\x00")) == nil {
		t.Errorf("partition %d", e.key.partition)
	}
}

// datafileNew is a number as rewritten files have it.
const datafileNew engine.FileID = 1 << 63

func TestCheckpointDue(t *testing.T) {
	for _, c := range []struct {
		passed  time.Duration
		written uint64
		news    bool
		want    bool
	}{
		{0, 0, false, false},
		{0, 0, true, false},
		{30*time.Second - 1, 256<<20 - 1, true, false},
		{30 * time.Second, 1, true, true},
		{time.Hour, 0, false, false},
		{0, 256 << 20, true, true},
		{1000 * time.Hour, 1, true, true}, // never before: what a start has replayed
	} {
		if got := usual.checkpointDue(c.passed, c.written, c.news); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
