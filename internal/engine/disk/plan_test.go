package disk

import (
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

func TestCheckEpochs(t *testing.T) {
	file := func(id, epoch int, kind fileKind, prev int) fileHeader {
		h := sampleFile
		h.kind = kind
		h.file, h.prev.file = h.file+engine.FileID(id), h.file+engine.FileID(prev)
		h.epoch += engine.Epoch(epoch)
		return h
	}
	for _, c := range []struct {
		what   string
		second fileHeader
		ok     bool
	}{
		{"goes on", file(1, 0, continuation, 0), true},
		{"next epoch", file(1, 1, firstOfEpoch, 0), true},
		{"next epoch after a superseded file", file(2, 1, firstOfEpoch, 1), true},
		{"goes on after a trimmed file", file(2, 0, continuation, 1), true},
		{"goes on in a later epoch whose first file was trimmed", file(2, 1, continuation, 1), true},
		{"goes on in another epoch", file(1, 1, continuation, 0), false},
		{"first file of the same epoch", file(1, 0, firstOfEpoch, 0), false},
		{"first file of an earlier epoch", file(1, -1, firstOfEpoch, 0), false},
		{"goes on in an earlier epoch", file(2, -1, continuation, 1), false},
	} {
		r := recovery{live: []*planned{
			{journalFile: &journalFile{fileHeader: sampleFile, name: "first"}},
			{journalFile: &journalFile{fileHeader: c.second, name: "second"}},
		}}
		if err := r.checkEpochs(); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
