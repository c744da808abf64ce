package broker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/journal"
	"github.com/waxwing-mq/waxwing/internal/settings"
)

// Config is what a Broker is built from. Only Engine is required.
type Config struct {
	Engine engine.Engine
	Shards int              // number of shards, at least 1; decided at the first start
	Now    func() time.Time // the clock of all decisions
	Rand   io.Reader        // topic ids and the cluster id
	Logger *slog.Logger
	// ClusterID is the id that new data gets, as ParseClusterID reads it; ""
	// makes one. Of data that has another one Open returns an
	// *OtherClusterError.
	ClusterID string
	// Settings are the broker-wide settings that the operator gave, by
	// Kafka's names; what is changed later is stored in the log and wins.
	Settings map[string]string
	// Inline builds a broker without goroutines, for the simulation: the
	// caller drives it with Step and Maintain.
	Inline bool

	intervals *intervals // nil: usual
}

// ShardsMax bounds the number of shards: each has journal files of its own,
// which take their disk space before they are used.
const ShardsMax = 64

// Broker is the running core. Its methods may be called from any goroutine.
type Broker struct {
	cfg       Config
	shards    []*shard
	view      *view
	flat      flatNames
	placed    *placed
	access    *access.View
	prekeys   prekeyView
	clusterID string
	queueIDs  atomic.Uint64 // the last id of a session, channel or consumer
	squeeze   sync.Mutex    // of the one shard that rewrites on a full disk
	damage    *damage

	randMu  sync.Mutex
	vhostMu sync.Mutex // of who adds or deletes a vhost
	failed  chan struct{}
	fail    sync.Once
	err     error // why failed was closed
}

// Open recovers every shard and starts the broker. The engine stays the
// caller's to close, after Close.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	if cfg.Shards == 0 {
		cfg.Shards = 1
	}
	if cfg.Shards < 1 || cfg.Shards > ShardsMax {
		return nil, fmt.Errorf("%d shards: there are 1 to %d", cfg.Shards, ShardsMax)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.intervals == nil {
		cfg.intervals = &usual
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Broker{
		cfg: cfg, view: newView(), flat: flatNames{names: topic.FlatNames{}},
		placed: newPlaced(partitionsTotalMax), access: access.NewView(), failed: make(chan struct{}),
		damage: newDamage(),
	}
	for i := range cfg.Shards {
		s, err := b.openShard(ctx, engine.ShardID(i))
		if err != nil {
			b.releaseShards()
			return nil, err
		}
		b.shards = append(b.shards, s)
		if err := b.checkCluster(); err != nil {
			b.releaseShards()
			return nil, err
		}
		// Groups are spread by a hash over the shards, so their number stays.
		if n := b.shards[0].d.catalog.Shards; n != 0 && int(n) != cfg.Shards {
			b.releaseShards()
			return nil, fmt.Errorf("the data was founded with %d shards and cannot be opened with %d", n, cfg.Shards)
		}
	}
	if err := b.begin(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Broker) releaseShards() {
	for _, s := range b.shards {
		s.index.Close()
		s.eng.Release()
	}
}

// openShard claims and recovers one shard: state first, then the index of
// where its data lies.
func (b *Broker) openShard(ctx context.Context, id engine.ShardID) (*shard, error) {
	eng, err := b.cfg.Engine.Claim(ctx, id)
	if err != nil {
		return nil, err
	}
	s := &shard{
		id: id, b: b, eng: eng, traits: b.cfg.Engine.Traits(), inbox: newInbox(),
		producersMax: producersMax,
		replies:      map[group.Token]func(group.Body, error){},
		parts:        map[datafile.LogID]*Partition{},
		held:         map[TopicID][]*Partition{},
		settled:      map[datafile.LogID]*queue.SettledSet{},
	}
	s.mover, s.puller = newMover(s), newPuller(s)
	if err := s.recover(ctx); err != nil {
		eng.Release()
		return nil, err
	}
	return s, nil
}

func (s *shard) recover(ctx context.Context) error {
	cfg := &s.b.cfg
	j, m, cps, err := journal.Open(ctx, journal.Options{
		ID: s.id, Shard: s.eng, Blobs: cfg.Engine.Blobs(), Traits: cfg.Engine.Traits(),
		NewMachine: func() journal.Machine { return newDurable() },
		Logger:     cfg.Logger, Inline: cfg.Inline,
	})
	if err != nil {
		return err
	}
	s.j, s.cps, s.d = j, cps, m.(*durable)
	s.maintain.init(s)
	if cfg.Inline {
		s.recoveredSlot, s.recoveredState = j.Last(), s.d.Snapshot(nil)
	}
	return s.loadIndex(ctx)
}

// loadIndex learns where the data lies: from the .idx beside each file, or,
// where there is none, from the heads of the slots.
func (s *shard) loadIndex(ctx context.Context) error {
	s.index = datafile.New(datafile.Config{
		Shard: s.id, Journal: s.eng, Blobs: s.b.cfg.Engine.Blobs(),
		Verify: verifyBatches, Live: s.liveInLog, Split: splitBatch, Wait: s.maintain.yield,
	})
	if err := s.sweep(ctx); err != nil {
		return err
	}
	queueLogs := s.loadSettled()
	for _, f := range s.dataFiles() {
		if err := s.loadFile(ctx, f); err != nil {
			return err
		}
	}
	s.index.Keep(func(id datafile.LogID) bool { return s.d.logs.Get(id) != nil || s.settled[id] != nil })
	if err := s.indexSettled(queueLogs); err != nil {
		return err
	}
	for _, id := range s.d.logs.IDs() {
		l := s.d.logs.Get(id)
		s.index.SetStart(id, l.Start)
		if at, gap := s.index.Gap(id, l.Start, l.Next); gap {
			return &engine.ErrDamaged{
				Path:   fmt.Sprintf("shard %d", s.id),
				Reason: fmt.Sprintf("partition %d of topic %x has lost its records from offset %d on", l.Partition, l.Topic, at),
			}
		}
	}
	return nil
}

// dataFiles lists the files that hold data, oldest data first.
func (s *shard) dataFiles() []engine.FileInfo {
	type placed struct {
		order engine.FileID
		info  engine.FileInfo
	}
	var all []placed
	for _, r := range s.d.files.rewritten {
		all = append(all, placed{r.order, engine.FileInfo{ID: r.id}})
	}
	for _, f := range s.eng.Files() {
		if !slices.Contains(s.d.files.gone, f.ID) {
			all = append(all, placed{f.ID, f})
		}
	}
	slices.SortFunc(all, func(a, b placed) int { return cmp.Compare(a.order, b.order) })
	infos := make([]engine.FileInfo, len(all))
	for i, p := range all {
		infos[i] = p.info
	}
	return infos
}

// loadFile registers one file. An .idx that is missing or damaged is written
// again by maintenance; until then its extents are in RAM.
func (s *shard) loadFile(ctx context.Context, f engine.FileInfo) error {
	add := func(exts []datafile.Extent) error { return s.index.Add(f.ID, s.live(exts)) }
	if f.Open {
		s.openFile = f.ID
		return s.scanExtents(ctx, f, add)
	}
	err := s.index.Load(f.ID)
	var damaged *engine.ErrDamaged
	switch {
	case errors.As(err, &damaged):
		s.b.cfg.Logger.Warn("an .idx file is not usable and is made again", "error", damaged.Fault())
	case !errors.Is(err, engine.ErrNotFound):
		return err
	}
	if datafile.IsRewritten(f.ID) {
		return s.index.Rebuild(ctx, f.ID, nil)
	}
	if damaged != nil {
		if _, err := s.index.Sweep(ctx, func(id engine.FileID) bool { return id != f.ID }); err != nil {
			return err
		}
	}
	if err := s.scanExtents(ctx, f, add); err != nil {
		return err
	}
	s.seal(f.ID)
	return nil
}

// live leaves out the extents that are dead. A file of which nothing is live
// may be out of order: a rewrite passes over it.
func (s *shard) live(exts []datafile.Extent) []datafile.Extent {
	return slices.DeleteFunc(exts, func(e datafile.Extent) bool {
		if e.Log >= queueLogs {
			return !s.liveInLog(e.Log, e.Base, e.End())
		}
		l := s.d.logs.Get(e.Log)
		return l == nil || e.End() <= l.Start
	})
}

// scanExtents reads the directories of a journal file's slots.
func (s *shard) scanExtents(ctx context.Context, f engine.FileInfo, add func([]datafile.Extent) error) error {
	if f.First == 0 {
		return nil
	}
	return s.eng.Scan(ctx, f.First-1, f.Last, func(slot engine.Slot) error {
		exts, err := journal.Extents(slot)
		if err != nil {
			return err
		}
		return add(exts)
	})
}

// sweep deletes blobs that nothing refers to: what a crash left of a rewrite
// or of an index.
func (s *shard) sweep(ctx context.Context) error {
	keep := map[engine.FileID]bool{}
	for _, f := range s.dataFiles() {
		keep[f.ID] = true
	}
	_, err := s.index.Sweep(ctx, func(id engine.FileID) bool { return keep[id] })
	return err
}

// begin builds the view, starts the goroutines, and ends what the last crash
// left half done.
func (b *Broker) begin(ctx context.Context) error {
	home := b.shards[0]
	if err := b.applySettings(nil); err != nil {
		return err
	}
	if err := b.applySettings(b.usable(home.d.catalog.Settings)); err != nil {
		return err
	}
	if err := b.access.Load(home.d.access); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	b.prekeys.show(home.d.prekeys.Totals())
	for _, s := range b.shards {
		for _, id := range s.d.logs.IDs() {
			l := s.d.logs.Get(id)
			s.showPartition(TopicID(l.Topic), l.Partition, id, l)
		}
	}
	for _, t := range home.d.catalog.Topics() {
		if err := b.checkPlacement(t); err != nil {
			return err
		}
		b.showTopic(TopicID(t.ID), t.Name, t.Settings, len(t.Shards))
		b.flat.add(t.Name)
		b.placed.total += len(t.Shards)
	}
	for _, s := range b.shards {
		if err := s.showQueuesAtStart(); err != nil {
			return err
		}
		s.prekeys = prekey.NewMachine(s.d.prekeys)
		s.groups = group.NewMachine(b.groupConfig(), s.d.groups, time.UnixMilli(s.tick()))
		s.openQueues(s.tick())
		s.start()
	}
	if err := b.restartQueues(ctx); err != nil {
		return err
	}
	if err := b.found(ctx); err != nil {
		return err
	}
	if err := b.foundVHost(ctx); err != nil {
		return err
	}
	for _, s := range b.shards {
		if err := s.clearAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// checkPlacement makes sure that every partition of the catalogue is there.
func (b *Broker) checkPlacement(t *topic.Topic) error {
	for i, n := range t.Shards {
		if int(n) >= len(b.shards) {
			return fmt.Errorf("topic %q has a partition in shard %d, but only %d shards are configured", t.Name, n, len(b.shards))
		}
		if b.shards[n].d.logs.Find(t.ID, int32(i)) == 0 {
			return &engine.ErrDamaged{Path: fmt.Sprintf("shard %d", n), Reason: fmt.Sprintf("partition %d of topic %q is missing", i, t.Name)}
		}
	}
	return nil
}

// start begins the shard's work.
func (s *shard) start() {
	s.j.Start(s.published)
	if s.b.cfg.Inline {
		return
	}
	s.stopped.Add(4)
	go s.sequence()
	go s.maintain.run()
	go s.mover.run()
	go s.puller.run()
	go s.watchJournal()
	s.maintain.kick()
}

// watchJournal waits for the journal's failure and makes it the broker's.
func (s *shard) watchJournal() {
	select {
	case <-s.j.Failed():
		s.b.stopFailed(s.j.Err())
	case <-s.maintain.stop:
	}
}

// stopFailed lets Failed's channel close. Nothing is rolled back: whoever runs
// the broker exits, and recovery finds what is durable.
func (b *Broker) stopFailed(err error) {
	b.fail.Do(func() {
		b.err = err
		close(b.failed)
	})
}

// Failed is closed when a write or sync has failed: the process must exit.
func (b *Broker) Failed() <-chan struct{} { return b.failed }

// Err is why Failed was closed.
func (b *Broker) Err() error {
	select {
	case <-b.failed:
		return b.err
	default:
		return nil
	}
}

// usable leaves out stored dynamic settings that this version does not take:
// they were valid when they were stored, and are no reason not to start.
func (b *Broker) usable(dynamic map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range dynamic {
		if _, err := settings.ParseBroker(b.cfg.Settings, map[string]string{name: value}); err != nil {
			b.cfg.Logger.Warn("a stored broker setting is not valid and does not hold", "error", err)
			continue
		}
		out[name] = value
	}
	return out
}

// applySettings makes the stored dynamic settings, on top of the operator's,
// those in force.
func (b *Broker) applySettings(dynamic map[string]string) error {
	parsed, err := settings.ParseBroker(b.cfg.Settings, dynamic)
	if err != nil {
		return err
	}
	b.view.mu.Lock()
	defer b.view.mu.Unlock()
	b.view.broker, b.view.overrides = parsed, dynamic
	return nil
}

func (b *Broker) groupConfig() group.Config {
	st := b.Settings()
	return group.Config{
		InitialRebalanceDelay:         st.GroupInitialRebalanceDelay,
		SessionTimeoutMin:             st.GroupMinSessionTimeout,
		SessionTimeoutMax:             st.GroupMaxSessionTimeout,
		GroupSizeMax:                  st.GroupMaxSize,
		OffsetMetadataBytesMax:        st.OffsetMetadataMaxBytes,
		OffsetsRetention:              st.OffsetsRetention,
		OffsetsRetentionCheckInterval: st.OffsetsRetentionCheckInterval,
		GroupBytesMax:                 int(min(16<<20, b.cfg.Engine.Traits().SlotBytesMax/4)),
	}
}

// Close refuses new commands, finishes those that are queued, makes them
// durable, and releases the shards.
func (b *Broker) Close() error {
	var errs []error
	for _, s := range b.shards {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

func (s *shard) close() error {
	s.inbox.close()
	s.maintain.halt()
	s.mover.halt()
	s.puller.halt()
	s.stopped.Wait()
	defer s.index.Close()
	if s.groups == nil { // never started
		return s.eng.Release()
	}
	err := s.j.Close()
	if err == nil {
		err = s.maintain.checkpoint(context.Background())
	}
	if errors.Is(err, engine.ErrFull) {
		s.b.cfg.Logger.Warn("no space for a checkpoint at the end; the next start replays more", "shard", s.id, "error", err)
		err = nil
	}
	return errors.Join(err, s.eng.Release())
}
