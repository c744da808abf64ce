package broker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/journal"
)

// update makes the folder of TestReplayOfAStoredFolder again, which is right
// only as long as no version that writes such folders is released:
//
//	go test ./internal/broker -run TestReplayOfAStoredFolder -update
var update = flag.Bool("update", false, "write testdata/replay/unreleased again")

const (
	storedFolder = "testdata/replay/unreleased/folder.tar.gz"
	storedHash   = "testdata/replay/unreleased/state.sha256"
)

// smallFixture is a broker of two shards in a folder as small as it can be.
func smallFixture(t testing.TB) *fixture {
	return &fixture{
		t: t, dir: t.TempDir(), fileBytes: 32 << 10, shards: 2, inline: true,
		clock: &clock{now: time.UnixMilli(1_700_000_000_000)},
	}
}

// populate leaves something of each kind in the state: topics, producers,
// settings, groups, offsets, queues with messages, bindings, users, cursors,
// prekeys, and rewritten files. The one checkpoint is in the middle of it, and all of
// the journal is kept.
func populate(f *fixture) {
	f.t.Helper()
	ctx := context.Background()
	must := func(err error) {
		f.t.Helper()
		if err != nil {
			f.t.Fatal(err)
		}
	}
	orders := f.create("orders", 3, map[string]string{"retention.ms": "-1"})
	gone := f.create("gone", 2, nil)
	v, _ := f.VHost("/")
	session := v.NewSession(deaf{})
	declare := func(name string, kind queue.Kind) queue.ID {
		spec := queue.Spec{Name: name, Kind: kind, Durable: true, Settings: queue.NoSettings(), Arguments: []byte("a")}
		r, err := session.Call(ctx, &queue.Declare{Spec: spec})
		must(err)
		if got := r.(*queue.DeclareReply).Err; got != queue.OK {
			f.t.Fatal(got)
		}
		q, _ := v.Queue(name)
		return q.ID
	}
	bind := func(exchange, name, key string) {
		must(v.Bind(ctx, route.Bind{Source: exchange, Destination: route.Destination{Kind: route.ToQueue, Name: name}, Key: key}))
	}
	publish := func(body string, to ...queue.ID) {
		m := broker.Message{Exchange: "events", RoutingKey: "k", Properties: []byte("p"), Body: []byte(body), Time: f.clock.Now().UnixMilli()}
		b := &broker.SessionBatch{Items: []broker.SessionItem{{Publish: &broker.Publish{
			Targets: to, Message: queue.Message{Size: int64(len(body)), ExpiresAfter: queue.None}, Batch: m.AppendBatch(nil),
		}}}}
		b.Done = func(b *broker.SessionBatch) { must(b.Err) }
		must(session.Submit(ctx, b))
		f.Decide()
		must(f.Flush())
	}
	classic, quorum := declare("classic", queue.Kind(0)), declare("quorum", queue.Kind(1))
	must(v.DeclareExchange(ctx, route.Declare{Name: "events", Type: "topic", Durable: true}))
	bind("events", "classic", "a.*")
	bind(broker.TopicsExchange, "quorum", "orders")
	for i := range 3 {
		f.append(orders.Partitions[i], f.batch(7, 0, 0, "first"))
		f.append(gone.Partitions[i%2], f.batch(-1, -1, -1, strings.Repeat("x", 20_000)))
		publish(fmt.Sprint("message ", i), classic, quorum)
	}
	commit(f.t, f, "g", "orders", 1)
	commit(f.t, f, "other", "gone", 1)
	publishKeys := func(name string, ids ...uint32) {
		p := prekey.Publication{RegistrationID: 1, Certificate: []byte("c"), Signed: prekey.SignedKey{ID: 1, Key: []byte("k"), Signature: []byte("s")}}
		for _, id := range ids {
			p.OneTime = append(p.OneTime, prekey.Key{ID: id, Key: []byte("e")})
			p.OneTimeKEM = append(p.OneTimeKEM, prekey.SignedKey{ID: id, Key: []byte("m"), Signature: []byte("s")})
		}
		_, err := f.PublishPrekeys(ctx, name, &p)
		must(err)
	}
	takeKeys := func(name string, id uint32) {
		b, err := f.TakePrekeys(ctx, "u", name)
		must(err)
		if b.OneTime.ID != id {
			f.t.Fatalf("key %d was given out, not %d", b.OneTime.ID, id)
		}
	}
	raise := func(name string, mark uint64) {
		_, err := f.RaiseMarks(ctx, name, map[uint32]uint64{3: mark})
		must(err)
	}
	publishKeys("alice", 1, 2, 3)
	publishKeys("bob")
	takeKeys("alice", 1)
	raise("alice", 5)
	must(f.ConfigureBroker(ctx, map[string]string{"message.max.bytes": "2000000"}))
	must(f.DeleteTopic(ctx, gone.ID))
	f.maintain()
	f.clock.add(time.Minute)
	must(f.AddPartitions(ctx, orders.ID, 5))
	must(f.ConfigureTopic(ctx, orders.ID, map[string]string{"max.message.bytes": "9000"}))
	if _, err := f.NewProducerID(ctx); err != nil {
		f.t.Fatal(err)
	}
	f.append(orders.Partitions[0], f.batch(7, 0, 1, "second", "third"))
	if _, err := f.DeleteRecords(ctx, orders.Partitions[0], 1); err != nil {
		f.t.Fatal(err)
	}
	commit(f.t, f, "g", "orders", 2)
	body, err := f.GroupWait(ctx, "g", group.DeleteGroups{Groups: []string{"other"}})
	if must(err); body == nil {
		f.t.Fatal("no reply")
	}
	takeKeys("alice", 2)
	raise("alice", 6)
	must(f.DeletePrekeys(ctx, "bob"))
	publish("last", quorum)
	f.Decide()
	must(f.Flush())
}

// TestReplayOfAStoredFolder: a folder that was written once opens, and its
// entries and its checkpoint mean what they meant then. Nothing else keeps a
// change of code from changing what is stored.
func TestReplayOfAStoredFolder(t *testing.T) {
	if *update {
		writeStoredFolder(t)
	}
	want, err := os.ReadFile(storedHash)
	if err != nil {
		t.Fatal(err)
	}
	for _, checkpoints := range []bool{true, false} {
		f := smallFixture(t)
		unpack(t, storedFolder, f.dir)
		if !checkpoints { // the journal alone says the same
			dropCheckpoints(t, f.dir)
		}
		f.open()
		if got := f.recoveredHash(); got != strings.TrimSpace(string(want)) {
			t.Errorf("with checkpoints %v: the state is %s, want %s", checkpoints, got, want)
		}
		if got := f.read(f.partition("orders", 0), 1); got[1] != "second" || got[2] != "third" || len(got) != 2 {
			t.Errorf("with checkpoints %v: %v", checkpoints, got)
		}
		if got := committed(t, f, "g", "orders"); got != 2 {
			t.Errorf("with checkpoints %v: offset %d", checkpoints, got)
		}
		v, _ := f.VHost("/")
		if _, ok := v.Queue("quorum"); !ok || len(f.partitions("orders")) != 5 {
			t.Errorf("with checkpoints %v: queue %v, %d partitions", checkpoints, ok, len(f.partitions("orders")))
		}
		if err := f.Authenticate("guest", "guest", true); err != nil {
			t.Error(err)
		}
		if s, err := f.PrekeyStatus(t.Context(), "alice"); err != nil || s.OneTime != 1 || s.OneTimeMax != 3 {
			t.Errorf("with checkpoints %v: identity %+v, %v", checkpoints, s, err)
		}
		if marks, err := f.Marks(t.Context(), "alice"); err != nil || marks[3] != 6 {
			t.Errorf("with checkpoints %v: marks %v, %v", checkpoints, marks, err)
		}
		f.close()
	}
}

// recoveredHash stands for the states of all shards as recovery left them.
func (f *fixture) recoveredHash() string {
	h := sha256.New()
	for i := range f.shards {
		_, state := f.Recovered(i)
		fmt.Fprintf(h, "%d:", len(state))
		h.Write(state)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// writeStoredFolder makes a folder, leaves it as a crash would, and packs it.
func writeStoredFolder(t *testing.T) {
	f := smallFixture(t)
	f.open()
	populate(f)
	f.Abandon()
	if err := f.eng.Close(); err != nil {
		t.Fatal(err)
	}
	pack(t, f.dir, storedFolder)
	f.open()
	if err := os.WriteFile(storedHash, []byte(f.recoveredHash()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.close()
}

func pack(t *testing.T, dir, name string) {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), z.Close(), os.MkdirAll(filepath.Dir(name), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func unpack(t testing.TB, name, dir string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			err = os.MkdirAll(path, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			var body []byte
			if body, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, body, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// dropCheckpoints removes every checkpoint; there must be one.
func dropCheckpoints(t *testing.T, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(filepath.Dir(path)) == "checkpoint" {
			n++
			err = os.Remove(path)
		}
		return err
	})
	if err != nil || n == 0 {
		t.Fatalf("%d checkpoints removed: %v", n, err)
	}
}

// storedEntries opens the stored folder and returns shard 0's state and every
// entry of all shards.
func storedEntries(t testing.TB) (state []byte, entries []journal.Entry) {
	t.Helper()
	f := smallFixture(t)
	unpack(t, storedFolder, f.dir)
	f.open()
	defer f.close()
	_, state = f.Recovered(0)
	for i := range f.shards {
		err := f.EachEntry(i, func(e journal.Entry) error {
			e.Body = bytes.Clone(e.Body)
			entries = append(entries, e)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return state, entries
}

// TestGarbageIsNotReplayed: what is cut short, too long, or of a type or
// version that nobody knows is an error.
func TestGarbageIsNotReplayed(t *testing.T) {
	state, entries := storedEntries(t)
	if again, err := broker.Replay(state, journal.Entry{}); err != nil || !bytes.Equal(again, state) {
		t.Fatal("a state is restored as something else: ", err)
	}
	var short []int
	for i := range state {
		if _, err := broker.Replay(state[:i:i], journal.Entry{}); err == nil {
			short = append(short, i)
		}
	}
	if len(short) > 2 { // two: states from before there were queues end with the groups, and those from before prekeys with the cursors
		t.Errorf("restores from %d of %d bytes", short, len(state))
	}
	if _, err := broker.Replay(append(slices.Clone(state), 0), journal.Entry{}); err == nil {
		t.Error("restores with a byte too many")
	}
	types := map[uint16]bool{}
	for _, e := range entries {
		types[e.Type] = true
		garbage := e
		garbage.Body = bytes.Repeat([]byte{0xff}, 40)
		if _, err := broker.Replay(state, garbage); err == nil {
			t.Errorf("type %d applies garbage", e.Type)
		}
		e.Version = 2
		if _, err := broker.Replay(state, e); !errors.Is(err, engine.ErrNewer) {
			t.Errorf("type %d of a newer version: %v", e.Type, err)
		}
	}
	for _, typ := range []uint16{1, 2, 3, 4, 16, 17, 18, 19, 20, 21, 32, 48, 49, 50, 51, 52, 53} {
		if !types[typ] {
			t.Errorf("no entry of type %d is in the stored folder", typ)
		}
	}
	for _, typ := range []uint16{8, 15, 22, 34, 47, 54, 65535} {
		if _, err := broker.Replay(state, journal.Entry{Type: typ, Version: 1}); !errors.Is(err, engine.ErrNewer) {
			t.Errorf("type %d: %v", typ, err)
		}
	}
}

// allocated is how many bytes were ever allocated.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// FuzzDurableRestore restores anything as a shard's state, or applies anything
// as an entry of a type. It is an error, or a state that is restored as it was;
// what it takes of memory is in proportion to its bytes.
func FuzzDurableRestore(f *testing.F) {
	state, entries := storedEntries(f)
	f.Add(uint16(0), state)
	for _, e := range entries {
		f.Add(e.Type, e.Body)
	}
	const many = "\xff\xff\xff\x7f" // a count that the rest does not hold
	for typ, before := range map[uint16]string{0: "\x00\x01", 2: string(make([]byte, 17)), 7: "", 18: string(make([]byte, 16)), 32: "\x01\x01", 33: ""} {
		f.Add(typ, []byte(before+many))
	}
	f.Fuzz(func(t *testing.T, typ uint16, b []byte) {
		from, e := state, journal.Entry{Type: typ, Version: 1, Body: b}
		if typ == 0 {
			from = b
		}
		before := allocated()
		got, err := broker.Replay(from, e)
		if most := uint64(4<<20 + 500*(len(b)+len(state))); allocated()-before > most {
			t.Fatalf("%d bytes took more than %d", len(b), most)
		}
		if err != nil {
			return
		}
		if again, err := broker.Replay(got, journal.Entry{}); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("type %d: the state is restored as something else: %v", typ, err)
		}
	})
}
