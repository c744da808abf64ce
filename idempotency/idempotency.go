package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// ErrRollback, returned by a handler, also wrapped, rolls its transaction back and
// sends the response that it wrote. Nothing is stored, and the key is free.
var ErrRollback = errors.New("idempotency: rolled back by the handler")

// A HandlerFunc answers a request. Its statements belong into tx, which it neither
// commits nor rolls back; ctx is the request's, which has the key in it too. What it
// writes to w is sent once tx has committed. If it returns an error or panics, tx is
// rolled back, and what it wrote is dropped (but see ErrRollback).
//
// A response that says no (402, say) is committed and stored with whatever was
// written before it: decide first, or use a savepoint.
type HandlerFunc[TX any] func(ctx context.Context, tx TX, w http.ResponseWriter, r *http.Request) error

// Keys are the idempotency keys that a database stores. They can be used by several
// goroutines, and by several processes with the same database.
type Keys[TX any] struct {
	options
	db      *sqldb.DB[TX]
	running claims
	stored  atomic.Uint64 // responses, so far
	cleaner sync.Mutex    // held by the request that cleans up
}

// New are the keys of a database whose tables sqldb.Migrate has made. It does not
// use the database yet.
func New[TX any](db *sqldb.DB[TX], opts ...Option) *Keys[TX] {
	k := &Keys[TX]{options: defaults(), db: db, running: claims{ids: map[[sha256.Size]byte]bool{}}}
	for _, opt := range opts {
		opt(&k.options)
	}
	return k
}

// Handler has h answer requests, each key once. It belongs behind what finds out who
// the client is, at routes whose requests have effects.
func (k *Keys[TX]) Handler(h HandlerFunc[TX]) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, err := keyOf(r.Header)
		if errors.Is(err, errMissing) && !k.optional {
			k.reject(w, keyMissing)
			return
		} else if err != nil && !errors.Is(err, errMissing) {
			k.rejectf(w, keyInvalid, "%v", err)
			return
		}
		body, ok := k.readBody(w, r)
		if !ok {
			return
		}
		c := call[TX]{Keys: k, h: h}
		if err == nil {
			who := k.identify(r, key, body)
			c.who = &who
			r = r.WithContext(context.WithValue(r.Context(), contextKey{}, who))
		} else {
			r = r.WithContext(r.Context()) // a copy
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		c.answer(w, r)
	})
}

// readBody reads a request's body, or answers that it cannot.
func (k *Keys[TX]) readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, k.maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		k.rejectf(w, bodyTooLarge, "It may have %d bytes.", large.Limit)
	case err != nil:
		k.rejectf(w, bodyCut, "%v", err)
	}
	return body, err == nil
}

// A call is a request that is being answered.
type call[TX any] struct {
	*Keys[TX]
	h      HandlerFunc[TX]
	who    *identity // nil without a key
	found  *row      // what was stored already
	res    response  // what the handler answered
	stored bool
}

// answer runs the transaction, then answers.
func (c *call[TX]) answer(w http.ResponseWriter, r *http.Request) {
	err := c.claimed(r)
	switch {
	case errors.Is(err, errBusy):
		c.reject(w, inProgress)
	case errors.Is(err, ErrRollback):
		c.res.send(w, r, false)
	case err != nil:
		c.fail(w, r, err)
	case c.found == nil:
		c.res.send(w, r, false)
		c.tidy(w, r)
	case !bytes.Equal(c.found.fingerprint, c.who.fingerprint[:]):
		c.reject(w, keyReused)
	default:
		c.found.send(w, r, true)
	}
}

// claimed runs the transaction if no other request has the key. If one has, its
// response may be stored by now; if not, that is errBusy.
func (c *call[TX]) claimed(r *http.Request) error {
	if c.who == nil {
		return c.transaction(r)
	}
	err := errBusy
	if c.running.add(c.who.id) {
		defer c.running.remove(c.who.id)
		err = c.transaction(r)
	}
	if !errors.Is(err, errBusy) {
		return err
	}
	old, err := read(r.Context(), c.db.Conn(), *c.who, "")
	switch {
	case errors.Is(err, sqltx.ErrNoRows):
		return errBusy
	case err != nil:
		return err
	case old.expires <= c.now().UnixMicro():
		return errBusy
	}
	c.found = old
	return nil
}

// transaction claims the key, runs the handler and stores its response, all in one.
func (c *call[TX]) transaction(r *http.Request) error {
	err := c.db.InTx(r.Context(), func(ctx context.Context, tx TX) error {
		if c.who != nil {
			var err error
			if c.found, err = claim(ctx, c.db.Bind(tx), c.db.Dialect(), *c.who, c.now()); err != nil || c.found != nil {
				return err
			}
		}
		if err := c.run(ctx, tx, r); err != nil {
			return err
		}
		if c.who != nil {
			if err := store(ctx, c.db.Bind(tx), c.db.Dialect(), *c.who, c.res, c.now(), c.expiry); err != nil {
				return err
			}
		}
		return killpoint.At(ctx, killpoint.HandlerCommit, killpoint.Before)
	})
	if err != nil || c.found != nil {
		return err
	}
	c.stored = c.who != nil
	return killpoint.At(r.Context(), killpoint.HandlerCommit, killpoint.After)
}

// run has the handler write its response. It returns ErrRollback if that is to be
// sent and not to be stored.
func (c *call[TX]) run(ctx context.Context, tx TX, r *http.Request) error {
	w := &recorder{header: http.Header{}, max: c.maxResponse}
	err := c.h(ctx, tx, w, r)
	if err != nil && !errors.Is(err, ErrRollback) {
		return err
	}
	var large error
	if c.res, large = w.response(); large != nil {
		return large
	}
	if c.res.status == http.StatusUnauthorized || c.res.status == http.StatusTooManyRequests {
		return ErrRollback
	}
	return err
}

// Cleanup deletes the rows that have expired, in transactions of up to 200, and
// returns how many it deleted. Requests do that too, a batch for every 64 that are
// stored, after they are answered; Cleanup is for those who have few requests after
// many.
func (k *Keys[TX]) Cleanup(ctx context.Context) (int, error) {
	for all := 0; ; {
		n, err := k.cleanup(ctx)
		all += n
		if err != nil || n < batch {
			return all, err
		}
	}
}

// cleanup deletes up to one batch.
func (k *Keys[TX]) cleanup(ctx context.Context) (n int, err error) {
	err = k.db.InTx(ctx, func(ctx context.Context, tx TX) (err error) {
		n, err = cleanup(ctx, k.db.Bind(tx), k.db.Dialect(), k.now())
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// cleanupEvery is at which of the stored responses a request cleans up, and
// cleanupTime is how much time it takes for that.
const (
	cleanupEvery = 64
	cleanupTime  = 5 * time.Second
)

// tidy cleans up a batch, at times, once the client has its response.
func (c *call[TX]) tidy(w http.ResponseWriter, r *http.Request) {
	if !c.stored || c.Keys.stored.Add(1)%cleanupEvery != 0 || !c.cleaner.TryLock() {
		return
	}
	defer c.cleaner.Unlock()
	_ = http.NewResponseController(w).Flush() // or it has it later
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), cleanupTime)
	defer cancel()
	if _, err := c.cleanup(ctx); err != nil {
		c.log.WarnContext(ctx, "idempotency: expired keys were not deleted", "error", err)
	}
}

// claims are the keys whose requests run in this process: asked first, they spare
// the database the requests of impatient clients.
type claims struct {
	mu  sync.Mutex
	ids map[[sha256.Size]byte]bool
}

// add says whether a key is free, and takes it.
func (c *claims) add(id [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids[id] {
		return false
	}
	c.ids[id] = true
	return true
}

func (c *claims) remove(id [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ids, id)
}
