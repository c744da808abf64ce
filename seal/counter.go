package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/waxwing-mq/waxwing/bus"
)

// A Counter keeps, outside of the database, how far each stream of an identity's
// messages was published. A mark never sinks. directory.Client is one, FileCounter
// another.
type Counter interface {
	// Raise lifts marks to at least what is given, durably, and returns those streams' marks.
	Raise(ctx context.Context, name string, marks map[uint32]uint64) (map[uint32]uint64, error)
	// Marks are all marks of an identity.
	Marks(ctx context.Context, name string) (map[uint32]uint64, error)
}

// FileCounter is a counter in a file, which must not be in the backup of the database.
// One process at a time may use a file.
type FileCounter struct {
	path string
	mu   sync.Mutex
	all  map[string]map[uint32]uint64
}

// OpenFileCounter reads a counter's file, which is made if it is not there. It returns an
// error if what is there is no counter.
func OpenFileCounter(path string) (*FileCounter, error) {
	f := &FileCounter{path: path, all: map[string]map[uint32]uint64{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, f.write(f.all)
	}
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := json.Unmarshal(b, &f.all); err != nil || f.all == nil {
		return nil, fmt.Errorf("seal: %s is no counter", path)
	}
	return f, nil
}

// Raise implements Counter.
func (f *FileCounter) Raise(_ context.Context, name string, marks map[uint32]uint64) (map[uint32]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next, out, changed := maps.Clone(f.all[name]), map[uint32]uint64{}, false
	if next == nil {
		next = map[uint32]uint64{}
	}
	for stream, seq := range marks {
		if seq > next[stream] {
			next[stream], changed = seq, true
		}
		out[stream] = next[stream]
	}
	if !changed {
		return out, nil
	}
	all := maps.Clone(f.all)
	all[name] = next
	if err := f.write(all); err != nil {
		return nil, err
	}
	f.all = all
	return out, nil
}

// Marks implements Counter.
func (f *FileCounter) Marks(_ context.Context, name string) (map[uint32]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := maps.Clone(f.all[name])
	if out == nil {
		out = map[uint32]uint64{}
	}
	return out, nil
}

// write replaces the file: as a whole, and durably.
func (f *FileCounter) write(all map[string]map[uint32]uint64) (err error) {
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.path)
	t, err := os.CreateTemp(dir, filepath.Base(f.path)+".*")
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(t.Name())
			err = fmt.Errorf("seal: %w", err)
		}
	}()
	_, err = t.Write(append(b, '\n'))
	if err = errors.Join(err, t.Sync(), t.Close()); err != nil {
		return err
	}
	if err = os.Rename(t.Name(), f.path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Counted is a publisher for a relay that raises a counter, once for each batch and
// before that is sent, to what the sealed messages in it say. If the counter cannot be
// raised, nothing is sent. names are the identities whose messages count, those of this
// process's endpoints: what somebody else has sealed, and is only passed on, does not, and a
// directory would refuse to raise it. Without names all count. A mark that is ahead of a
// batch is no error: relays of several processes publish in any order, and again.
func Counted(to bus.Publisher, c Counter, names ...string) bus.Publisher {
	return counted{to, c, names}
}

type counted struct {
	bus.Publisher
	counter Counter
	names   []string
}

func (p counted) Publish(ctx context.Context, msgs []bus.Message) error {
	marks := map[string]map[uint32]uint64{}
	for i := range msgs {
		name, stream, seq, ok := parseSealed(msgs[i].Header(HeaderSealed))
		if !ok || !isEnvelope(msgs[i].Body) { // a header alone may have been copied from anywhere
			continue
		}
		if len(p.names) > 0 && !slices.Contains(p.names, name) {
			continue
		}
		if marks[name] == nil {
			marks[name] = map[uint32]uint64{}
		}
		marks[name][stream] = max(marks[name][stream], seq)
	}
	for name, m := range marks {
		if _, err := p.counter.Raise(ctx, name, m); err != nil {
			return fmt.Errorf("seal: the counter: %w", err)
		}
	}
	return p.Publisher.Publish(ctx, msgs)
}

// parseSealed reads HeaderSealed.
func parseSealed(h []byte) (name string, stream uint32, seq uint64, ok bool) {
	f := strings.SplitN(string(h), ":", 3)
	if len(f) != 3 || checkName(f[2]) != nil {
		return "", 0, 0, false
	}
	s, err := strconv.ParseUint(f[0], 10, 32)
	seq, err2 := strconv.ParseUint(f[1], 10, 63)
	return f[2], uint32(s), seq, err == nil && err2 == nil
}
