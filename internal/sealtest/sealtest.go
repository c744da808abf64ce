// Package sealtest gives tests what sealed messages need: an organisation with a root,
// storage keys and a directory in memory, and endpoints of its services.
package sealtest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A Company is an organisation.
type Company struct {
	Root *seal.Root
	Keys *seal.KeyRing
	Dir  *Directory

	t   testing.TB
	now func() time.Time
	mu  sync.Mutex
	ids map[string]*seal.Identity
}

// New is a company that goes by a clock.
func New(t testing.TB, now func() time.Time) *Company {
	t.Helper()
	c := &Company{t: t, now: now, ids: map[string]*seal.Identity{}, Dir: &Directory{ids: map[string]*published{}, marks: map[string]map[uint32]uint64{}}}
	var err error
	if c.Root, err = seal.NewRoot(); err != nil {
		t.Fatal(err)
	}
	key, err := seal.NewStorageKey(1)
	if err != nil {
		t.Fatal(err)
	}
	if c.Keys, err = seal.NewKeyRing(key); err != nil {
		t.Fatal(err)
	}
	return c
}

// Identity is a service's, with a certificate for a year.
func (c *Company) Identity(name string, lanes int) *seal.Identity {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if id := c.ids[name]; id != nil {
		return id
	}
	id, err := seal.NewIdentity(name)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := c.Root.Issue(seal.Certificate{Name: name, Key: id.Key(), Lanes: lanes, NotBefore: c.now().Add(-time.Minute), NotAfter: c.now().AddDate(1, 0, 0)})
	if err == nil {
		id, err = id.WithCertificate(cert)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.ids[name] = id
	return id
}

// Bare is the endpoint of a service that has just started.
func Bare[TX any](c *Company, db *sqldb.DB[TX], name string, opts ...seal.Option) *seal.Endpoint[TX] {
	c.t.Helper()
	ep, err := seal.New(db, c.Identity(name, 2), c.Keys, append([]seal.Option{
		seal.Pinned(c.Root.Public()), seal.Through(c.Dir), seal.Clock(c.now), seal.OneTimeKeys(8), seal.Logger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	return ep
}

// Endpoint is Bare once it has published its keys.
func Endpoint[TX any](c *Company, db *sqldb.DB[TX], name string, opts ...seal.Option) *seal.Endpoint[TX] {
	c.t.Helper()
	ep := Bare(c, db, name, opts...)
	if err := ep.Publish(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return ep
}

// A Directory is a directory in memory, and a counter.
type Directory struct {
	mu    sync.Mutex
	ids   map[string]*published
	marks map[string]map[uint32]uint64
}

type published struct {
	directory.Publication
	max, maxKEM uint32
}

// fresh are the keys with ids that are new.
func fresh[K any](all, more []K, last *uint32, id func(K) uint32) []K {
	for _, k := range more {
		if id(k) > *last {
			all, *last = append(all, k), id(k)
		}
	}
	return all
}

// Publish implements seal.Directory.
func (d *Directory) Publish(_ context.Context, name string, p directory.Publication) (directory.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.ids[name]
	if id == nil {
		id = &published{}
		d.ids[name] = id
	}
	id.Certificate, id.RegistrationID = p.Certificate, p.RegistrationID
	if p.Signed != nil {
		id.Signed = p.Signed
	}
	if p.LastResort != nil {
		id.LastResort = p.LastResort
	}
	if p.Replace { // what is below the first of its own goes
		id.OneTime = slices.DeleteFunc(id.OneTime, func(k directory.Key) bool { return len(p.OneTime) == 0 || k.ID < p.OneTime[0].ID })
		id.OneTimeKEM = slices.DeleteFunc(id.OneTimeKEM, func(k directory.SignedKey) bool { return len(p.OneTimeKEM) == 0 || k.ID < p.OneTimeKEM[0].ID })
	}
	id.OneTime = fresh(id.OneTime, p.OneTime, &id.max, func(k directory.Key) uint32 { return k.ID })
	id.OneTimeKEM = fresh(id.OneTimeKEM, p.OneTimeKEM, &id.maxKEM, func(k directory.SignedKey) uint32 { return k.ID })
	return id.status(name), nil
}

func (id *published) status(name string) directory.Status {
	return directory.Status{Name: name, RegistrationID: id.RegistrationID, SignedID: id.Signed.ID, LastResortID: id.LastResort.ID,
		OneTime: len(id.OneTime), OneTimeKEM: len(id.OneTimeKEM), OneTimeIDMax: id.max, OneTimeKEMIDMax: id.maxKEM}
}

// Status implements seal.Directory.
func (d *Directory) Status(_ context.Context, name string) (directory.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id := d.ids[name]; id != nil {
		return id.status(name), nil
	}
	return directory.Status{}, directory.ErrNotFound
}

// Take implements seal.Directory.
func (d *Directory) Take(_ context.Context, name string) (directory.Bundle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.ids[name]
	if id == nil {
		return directory.Bundle{}, directory.ErrNotFound
	}
	b := directory.Bundle{Name: name, RegistrationID: id.RegistrationID, Certificate: id.Certificate, Signed: *id.Signed, KEM: id.LastResort, LastResort: true}
	if len(id.OneTime) > 0 {
		b.OneTime, id.OneTime = &id.OneTime[0], id.OneTime[1:]
	}
	if len(id.OneTimeKEM) > 0 {
		b.KEM, b.LastResort, id.OneTimeKEM = &id.OneTimeKEM[0], false, id.OneTimeKEM[1:]
	}
	return b, nil
}

// Raise implements seal.Counter.
func (d *Directory) Raise(_ context.Context, name string, marks map[uint32]uint64) (map[uint32]uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.marks[name] == nil {
		d.marks[name] = map[uint32]uint64{}
	}
	for s, seq := range marks {
		d.marks[name][s] = max(d.marks[name][s], seq)
	}
	return maps.Clone(d.marks[name]), nil
}

// Marks implements seal.Counter.
func (d *Directory) Marks(_ context.Context, name string) (map[uint32]uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.marks[name]), nil
}
