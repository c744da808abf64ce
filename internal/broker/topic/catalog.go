package topic

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Topic is a topic in the catalogue.
type Topic struct {
	ID       ID
	Name     string
	Settings map[string]string
	Shards   []uint32 // of each partition
}

// Catalog is what shard 0 knows of the whole cluster.
type Catalog struct {
	Cluster      [16]byte
	Shards       uint32 // of the cluster; 0 before it was founded
	NextProducer int64
	Settings     map[string]string // dynamic broker settings
	byID         map[ID]*Topic
	byName       map[string]*Topic
	flat         FlatNames
	settings     int // bytes of all names and values of settings
}

// NewCatalog returns an empty catalogue.
func NewCatalog() *Catalog {
	return &Catalog{Settings: map[string]string{}, byID: map[ID]*Topic{}, byName: map[string]*Topic{}, flat: FlatNames{}}
}

// ByName and ByID return nil when there is no such topic.
func (c *Catalog) ByName(name string) *Topic { return c.byName[name] }

// ByID returns nil when there is no such topic.
func (c *Catalog) ByID(id ID) *Topic { return c.byID[id] }

// Colliding returns the name of a topic that metrics could not tell from one
// of the given name; "" if there is none.
func (c *Catalog) Colliding(name string) string { return c.flat.Colliding(name) }

// SettingsBytes is what the names and values of all settings take.
func (c *Catalog) SettingsBytes() int { return c.settings }

// SettingsBytes is what names and values take.
func SettingsBytes(m map[string]string) (n int) {
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}

// Topics returns all topics, by name.
func (c *Catalog) Topics() []*Topic {
	out := make([]*Topic, 0, len(c.byID))
	for _, t := range c.byID {
		out = append(out, t)
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Name < out[b].Name })
	return out
}

// ApplyCreated takes a topic in.
func (c *Catalog) ApplyCreated(e *Created) error {
	if c.byID[e.ID] != nil || c.byName[e.Name] != nil {
		return fmt.Errorf("topic %q is created twice", e.Name)
	}
	t := &Topic{ID: e.ID, Name: e.Name, Settings: e.Settings, Shards: e.Shards}
	c.byID[e.ID], c.byName[e.Name] = t, t
	c.flat.Add(e.Name)
	c.settings += SettingsBytes(e.Settings)
	return nil
}

// ApplyDeleted forgets a topic.
func (c *Catalog) ApplyDeleted(e *Deleted) {
	if t := c.byID[e.ID]; t != nil {
		delete(c.byID, t.ID)
		delete(c.byName, t.Name)
		c.flat.Remove(t.Name)
		c.settings -= SettingsBytes(t.Settings)
	}
}

// ApplyGrown adds partitions.
func (c *Catalog) ApplyGrown(e *Grown) {
	if t := c.byID[e.ID]; t != nil {
		t.Shards = append(t.Shards, e.Shards...)
	}
}

// ApplyConfigured replaces settings.
func (c *Catalog) ApplyConfigured(e *Configured) {
	of := &c.Settings
	if e.ID != (ID{}) {
		t := c.byID[e.ID]
		if t == nil {
			return
		}
		of = &t.Settings
	}
	c.settings += SettingsBytes(e.Settings) - SettingsBytes(*of)
	*of = e.Settings
}

// ApplyProducerGiven remembers that an id is taken.
func (c *Catalog) ApplyProducerGiven(e *ProducerGiven) { c.NextProducer = e.ProducerID + 1 }

// ApplyFounded takes the cluster's id in.
func (c *Catalog) ApplyFounded(e *Founded) { c.Cluster, c.Shards = e.Cluster, e.Shards }

// Snapshot appends the state.
func (c *Catalog) Snapshot(dst []byte) []byte {
	dst = append(dst, c.Cluster[:]...)
	dst = binary.AppendUvarint(dst, uint64(c.Shards))
	dst = binary.AppendUvarint(dst, uint64(c.NextProducer))
	dst = appendSettings(dst, c.Settings)
	dst = binary.AppendUvarint(dst, uint64(len(c.byID)))
	for _, t := range c.Topics() {
		dst = append(dst, t.ID[:]...)
		dst = enc.String(dst, t.Name)
		dst = appendSettings(dst, t.Settings)
		dst = appendShards(dst, t.Shards)
	}
	return dst
}

// Restore reads what Snapshot wrote.
func (c *Catalog) Restore(r *enc.Reader) error {
	*c = *NewCatalog()
	copy(c.Cluster[:], r.Take(16))
	c.Shards = uint32(readUpTo(r, math.MaxUint32))
	c.NextProducer = int64(r.Uvarint())
	c.Settings = readSettings(r)
	c.settings = SettingsBytes(c.Settings)
	for n := r.Count(19); n > 0 && r.Err() == nil; n-- {
		var e Created
		copy(e.ID[:], r.Take(16))
		e.Name = r.String()
		e.Settings = readSettings(r)
		e.Shards = readShards(r)
		if r.Err() != nil {
			break
		}
		if err := c.ApplyCreated(&e); err != nil {
			return err
		}
	}
	return r.Err()
}

func sortIDs(ids []ID) {
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
