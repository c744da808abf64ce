package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/journal"
	"github.com/waxwing-mq/waxwing/internal/mutant"
)

// The types of entries. Numbers are never used again for something else; the
// meaning of a released (type, version) is frozen.
const (
	typeAppended         = 1
	typeOpened           = 2
	typeDropped          = 3
	typeStarted          = 4
	typeProducersExpired = 5
	typeClosed           = 6
	typeForgotten        = 7
	typeCreated          = 16
	typeDeleted          = 17
	typeGrown            = 18
	typeConfigured       = 19
	typeProducerGiven    = 20
	typeFounded          = 21
	typeReplaced         = 32
	typeTrimmed          = 33
	typeGroup            = 48 // the body says which group entry, and its version
	typeQueues           = 49 // the body says what about queues, and its version
	typeRoute            = 50 // the body says what about exchanges, and its version
	typeAccess           = 51 // the body says what about users and vhosts, and its version
	typePulled           = 52
	typePrekeys          = 53 // the body says what about identities, and its version
)

// entryVersion is the version of every entry type so far.
const entryVersion = 1

// durable is the state of a shard that survives a crash. It changes only in
// Apply: in the sequencer, in recovery and in the checkpointer.
type durable struct {
	logs    *topic.Logs
	catalog *topic.Catalog // of the cluster; only shard 0's is filled
	groups  *group.Durable
	queues  *queue.Durable
	routes  *route.Durable
	access  *access.Durable // of the cluster; only shard 0's is filled
	pulls   map[pullKey]int64
	prekeys *prekey.Durable // of the cluster; only shard 0's is filled
	files   files
	now     int64 // ms, time of the last entry
}

func newDurable() *durable {
	return &durable{
		logs: topic.NewLogs(), catalog: topic.NewCatalog(), groups: group.NewDurable(),
		queues: queue.NewDurable(), routes: route.NewDurable(), access: access.NewDurable(), pulls: map[pullKey]int64{},
		prekeys: prekey.NewDurable(),
	}
}

// Apply implements journal.Machine.
func (d *durable) Apply(e journal.Entry) error {
	if e.Version > entryVersion {
		return fmt.Errorf("entry type %d version %d: %w", e.Type, e.Version, engine.ErrNewer)
	}
	d.now = max(d.now, e.Time)
	if err := d.apply(e); err != nil {
		return fmt.Errorf("entry type %d: %w", e.Type, err)
	}
	return nil
}

func (d *durable) apply(e journal.Entry) error {
	switch e.Type {
	case typeAppended:
		var x topic.Appended
		if err := x.Decode(e.Body); err != nil {
			return err
		}
		return d.logs.ApplyAppended(&x, uint32(e.Epoch), e.Time)
	case typeOpened:
		return tried(e.Body, new(topic.Opened), d.logs.ApplyOpened)
	case typeDropped:
		return applied(e.Body, new(topic.Dropped), d.logs.ApplyDropped)
	case typeStarted:
		return applied(e.Body, new(topic.Started), d.logs.ApplyStarted)
	case typeProducersExpired:
		return applied(e.Body, new(topic.ProducersExpired), d.logs.ApplyProducersExpired)
	case typeClosed:
		return applied(e.Body, new(topic.Closed), d.logs.ApplyClosed)
	case typeForgotten:
		return applied(e.Body, new(topic.ProducersForgotten), d.logs.ApplyProducersForgotten)
	case typeCreated:
		return tried(e.Body, new(topic.Created), d.catalog.ApplyCreated)
	case typeDeleted:
		return applied(e.Body, new(topic.Deleted), d.catalog.ApplyDeleted)
	case typeGrown:
		return applied(e.Body, new(topic.Grown), d.catalog.ApplyGrown)
	case typeConfigured:
		return applied(e.Body, new(topic.Configured), d.catalog.ApplyConfigured)
	case typeProducerGiven:
		return applied(e.Body, new(topic.ProducerGiven), d.catalog.ApplyProducerGiven)
	case typeFounded:
		return applied(e.Body, new(topic.Founded), d.catalog.ApplyFounded)
	case typeReplaced:
		return applied(e.Body, new(replaced), d.files.applyReplaced)
	case typeTrimmed:
		return applied(e.Body, new(trimmed), d.files.applyTrimmed)
	case typeGroup:
		return d.applyGroup(e)
	case typeQueues:
		return d.applyQueues(e.Body)
	case typePulled:
		return d.applyPulled(e.Body)
	case typeAccess:
		return d.applyAccess(e.Body)
	case typeRoute:
		return d.applyRoute(e.Body)
	case typePrekeys:
		return d.applyPrekeys(e.Body)
	}
	return engine.ErrNewer
}

// applied decodes body into x and applies it.
func applied[T interface{ Decode([]byte) error }](body []byte, x T, apply func(T)) error {
	if err := x.Decode(body); err != nil {
		return err
	}
	apply(x)
	return nil
}

// tried is applied for what may not fit the state.
func tried[T interface{ Decode([]byte) error }](body []byte, x T, apply func(T) error) error {
	if err := x.Decode(body); err != nil {
		return err
	}
	return apply(x)
}

// Snapshot implements journal.Machine. Versions stand in the checkpoint's
// header; the parts follow one another.
func (d *durable) Snapshot(dst []byte) []byte {
	dst = binary.AppendVarint(dst, d.now)
	dst = d.logs.Snapshot(dst)
	dst = d.catalog.Snapshot(dst)
	dst = d.files.snapshot(dst)
	groups := d.groups
	if mutant.On(mutant.ReplayForgetsOffsets) {
		groups = group.NewDurable()
	}
	dst = enc.Bytes(dst, groups.Snapshot())
	dst = d.queues.Snapshot(dst)
	dst = d.routes.Snapshot(dst)
	dst = d.access.Snapshot(dst)
	dst = d.snapshotPulls(dst)
	return d.prekeys.Snapshot(dst)
}

// Restore implements journal.Machine.
func (d *durable) Restore(b []byte) error {
	r := enc.NewReader(b)
	d.now = r.Varint()
	if err := d.logs.Restore(&r); err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	if err := d.catalog.Restore(&r); err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	if err := d.files.restore(&r); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	groups, err := group.Restore(r.Bytes())
	if errors.Is(err, group.ErrNewer) {
		return fmt.Errorf("groups: %w: %w", engine.ErrNewer, err)
	}
	if err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	d.groups = groups
	if r.Len() == 0 {
		return r.Done() // from before there were queues
	}
	if err := d.queues.Restore(&r); err != nil {
		return fmt.Errorf("queues: %w", err)
	}
	if err := d.routes.Restore(&r); err != nil {
		return fmt.Errorf("exchanges: %w", err)
	}
	if err := d.access.Restore(&r); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if err := d.restorePulls(&r); err != nil {
		return fmt.Errorf("cursors: %w", err)
	}
	if r.Len() == 0 {
		return r.Done() // from before there were prekeys
	}
	if err := d.prekeys.Restore(&r); errors.Is(err, prekey.ErrNewer) {
		return fmt.Errorf("prekeys: %w: %w", engine.ErrNewer, err)
	} else if err != nil {
		return fmt.Errorf("prekeys: %w", err)
	}
	return r.Done()
}

// files is what the state knows of data files: which were written by a
// rewrite, and which were replaced by one. Journal files that were not
// replaced are not listed.
type files struct {
	next      uint64 // number of the next rewritten file
	rewritten []rewrittenFile
	gone      []engine.FileID // replaced journal files that may still be there, for their entries
}

// rewrittenFile is a rewritten file and the place it takes in the order of
// files: that of the first journal file whose data it holds.
type rewrittenFile struct {
	id    engine.FileID
	order engine.FileID
}

// replaced says that the live data of Old is now in New.
//
//	u new · u order · u count · count × u old
type replaced struct {
	New, Order engine.FileID
	Old        []engine.FileID
}

// Append encodes the entry.
func (e *replaced) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.New))
	dst = binary.AppendUvarint(dst, uint64(e.Order))
	return appendFileIDs(dst, e.Old)
}

// Decode is the reverse of Append.
func (e *replaced) Decode(b []byte) error {
	r := enc.NewReader(b)
	e.New, e.Order = engine.FileID(r.Uvarint()), engine.FileID(r.Uvarint())
	e.Old = readFileIDs(&r)
	return r.Done()
}

func (f *files) applyReplaced(e *replaced) {
	for _, old := range e.Old {
		if datafile.IsRewritten(old) {
			f.rewritten = slices.DeleteFunc(f.rewritten, func(r rewrittenFile) bool { return r.id == old })
		} else {
			f.gone = append(f.gone, old)
		}
	}
	if e.New != 0 {
		f.rewritten = append(f.rewritten, rewrittenFile{e.New, e.Order})
		f.next++
	}
}

// trimmed says that replaced journal files are not there any more.
//
//	u count · count × u file
type trimmed struct{ Files []engine.FileID }

// Append encodes the entry.
func (e *trimmed) Append(dst []byte) []byte { return appendFileIDs(dst, e.Files) }

// Decode is the reverse of Append.
func (e *trimmed) Decode(b []byte) error {
	r := enc.NewReader(b)
	e.Files = readFileIDs(&r)
	return r.Done()
}

func (f *files) applyTrimmed(e *trimmed) {
	f.gone = slices.DeleteFunc(f.gone, func(id engine.FileID) bool { return slices.Contains(e.Files, id) })
}

func (f *files) snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, f.next)
	dst = binary.AppendUvarint(dst, uint64(len(f.rewritten)))
	for _, r := range f.rewritten {
		dst = binary.AppendUvarint(dst, uint64(r.id))
		dst = binary.AppendUvarint(dst, uint64(r.order))
	}
	return appendFileIDs(dst, f.gone)
}

func (f *files) restore(r *enc.Reader) error {
	*f = files{next: r.Uvarint()}
	for n := r.Count(2); n > 0; n-- {
		f.rewritten = append(f.rewritten, rewrittenFile{engine.FileID(r.Uvarint()), engine.FileID(r.Uvarint())})
	}
	f.gone = readFileIDs(r)
	return r.Err()
}

func appendFileIDs(dst []byte, ids []engine.FileID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	return dst
}

func readFileIDs(r *enc.Reader) []engine.FileID {
	ids := make([]engine.FileID, r.Count(1))
	for i := range ids {
		ids[i] = engine.FileID(r.Uvarint())
	}
	return ids
}
