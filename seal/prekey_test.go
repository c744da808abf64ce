package seal

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sample"
	"github.com/waxwing-mq/waxwing/seal/directory"
)

// TestOneTimeKeys: a one-time key goes in the transaction of the first message that is
// opened with it, and no other.
func TestOneTimeKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		oneTime := func() int { return w.count("prekey", "local = 'billing' AND kind IN (2, 3)") }
		m := w.seal(a, "billing", "one")
		if n := oneTime(); n != 8 {
			t.Fatalf("%d keys", n)
		}
		w.want(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			w.must(b.Open(ctx, tx, &bus.Delivery{Message: *m}))
			return errAgain
		}), errAgain)
		bad := *m
		bad.ID = "another"
		_, err := w.open(b, &bad)
		w.want(err, ErrMismatch)
		if n := oneTime(); n != 8 {
			t.Fatalf("%d keys after failures", n)
		}
		w.opens(b, m, "one")
		if n := oneTime(); n != 6 {
			t.Fatalf("%d keys after the first message", n)
		}
		// Its session is gone, and it comes again.
		_, err = w.pool.Exec("DELETE FROM waxwing_seal_session WHERE local = 'billing'")
		w.must(err)
		_, err = w.open(b, m)
		w.want(err, ErrDuplicate)
	})
}

// TestLastResortReplay: a handshake with the last-resort key counts once.
func TestLastResortReplay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		w.dir.drain("billing")
		m := w.seal(a, "billing", "one")
		w.opens(b, m, "one")
		_, err := w.pool.Exec("DELETE FROM waxwing_seal_session WHERE local = 'billing'")
		w.must(err)
		before := w.dump()
		_, err = w.open(b, m)
		w.want(err, ErrDuplicate)
		// Also under another tag.
		again := *m
		again.Body = append([]byte(nil), m.Body...)
		again.Body[10] ^= 1
		_, err = w.open(b, &again)
		if !errors.Is(err, ErrDuplicate) && !errors.Is(err, ErrMismatch) {
			t.Error(err)
		}
		if !w.dump().same(before) {
			t.Error("something has changed")
		}
		// Rows that detect replays go with the keys.
		w.later(prekeyAge + time.Hour)
		w.must(b.Maintain(t.Context()))
		if n := w.count("replay", "local = 'billing'"); n != 1 {
			t.Errorf("%d rows", n)
		}
		w.later(prekeyKept + time.Hour)
		w.must(b.Maintain(t.Context()))
		if n := w.count("replay", "local = 'billing'"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		_, err = w.open(b, m)
		w.want(err, ErrExpired)
	})
}

// TestPrekeyRotation: signed and last-resort prekeys are renewed after a week, and still
// open handshakes for 30 days.
func TestPrekeyRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		first, err := w.dir.Status(t.Context(), "billing")
		w.must(err)
		late := w.seal(a, "billing", "late")
		tooLate := w.seal(w.service("shipping"), "billing", "too late")
		w.later(prekeyAge - time.Hour)
		w.must(b.Maintain(t.Context()))
		if s, _ := w.dir.Status(t.Context(), "billing"); s.SignedID != first.SignedID {
			t.Error("renewed too early")
		}
		w.later(2 * time.Hour)
		w.must(b.Maintain(t.Context()))
		second, _ := w.dir.Status(t.Context(), "billing")
		if second.SignedID == first.SignedID || second.LastResortID == first.LastResortID {
			t.Errorf("%+v and %+v", first, second)
		}
		w.later(prekeyKept - time.Hour)
		w.must(b.Maintain(t.Context()))
		w.opens(b, late, "late")
		w.later(2 * time.Hour)
		w.must(b.Maintain(t.Context()))
		_, err = w.open(b, tooLate)
		w.want(err, ErrExpired)
	})
}

// TestReplenish: one-time keys are made when fewer than half wait, with ids that never
// come again, and none is 0.
func TestReplenish(t *testing.T) {
	w := quick(t)
	a := w.service("orders", OneTimeKeys(10))
	seen := map[uint32]bool{}
	take := func(n int) {
		for range n {
			b, err := w.dir.Take(t.Context(), "orders")
			w.must(err)
			for _, id := range []uint32{b.OneTime.ID, b.KEM.ID} {
				if seen[id] || id == 0 {
					t.Errorf("id %d", id)
				}
				seen[id] = true
			}
		}
	}
	take(5)
	w.must(a.Maintain(t.Context()))
	if s, _ := w.dir.Status(t.Context(), "orders"); s.OneTime != 5 {
		t.Errorf("%+v", s)
	}
	take(1)
	w.must(a.Maintain(t.Context()))
	if s, _ := w.dir.Status(t.Context(), "orders"); s.OneTime != 10 || s.OneTimeKEM != 10 {
		t.Errorf("%+v", s)
	}
	take(10)
	// An answer of the directory is lost: the same keys are published again.
	w.dir.down = errors.New("down")
	if err := a.Maintain(t.Context()); err == nil {
		t.Error("no error")
	}
	made := w.count("prekey", "local = 'orders'")
	w.dir.down = nil
	w.must(a.Maintain(t.Context()))
	w.must(a.Maintain(t.Context()))
	if n := w.count("prekey", "local = 'orders'"); n > made+20 {
		t.Errorf("%d keys, then %d", made, n)
	}
	take(10)
}

// TestPrepare: what was fetched ahead is used, once, and Seal does not ask the directory.
func TestPrepare(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.service("billing")
		w.identity("orders", 4)
		a := w.bare("orders", To("payments", "billing"))
		w.must(a.Maintain(t.Context()))
		w.must(a.Prepare(t.Context(), "billing"))
		if w.dir.takes != 4 || w.count("bundle", "1 = 1") != 4 {
			t.Fatalf("%d bundles were taken, %d are stored", w.dir.takes, w.count("bundle", "1 = 1"))
		}
		w.dir.down = errors.New("down")
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			w.must(w.trySeal(a, "billing", w.message("payments", key, "text")))
		}
		if w.count("bundle", "1 = 1") > 1 {
			t.Error("bundles are left")
		}
		w.want(w.trySeal(a, "shipping", w.message("payments", "k", "text")), ErrNoSession)
		w.dir.down = nil
		w.later(bundleKept + time.Hour)
		w.must(a.Prepare(t.Context(), "billing"))
	})
}

// TestUnanswered: a session that was not answered for 30 days begins anew.
func TestUnanswered(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	first := w.seal(a, "billing", "one")
	w.later(unanswered + time.Hour)
	w.must(b.Maintain(t.Context()))
	m := w.seal(a, "billing", "two")
	w.opens(b, m, "two")
	one, _ := ParseEnvelope(first.Body)
	two, _ := ParseEnvelope(m.Body)
	if one.Tag == two.Tag {
		t.Error("the session goes on")
	}
	// One that was answered does not.
	w.opens(a, w.seal(b, "orders", "back"), "back")
	w.later(unanswered + time.Hour)
	m = w.seal(a, "billing", "three")
	if three, _ := ParseEnvelope(m.Body); three.Tag != two.Tag {
		t.Error("a session begins anew")
	}
}

// TestArchived: sessions that are not sealed with go after 30 days, and beyond 40.
func TestArchived(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders", OneTimeKeys(100)), w.service("billing", OneTimeKeys(100))
	for range archivedMax + 5 {
		_, err := w.pool.Exec("DELETE FROM waxwing_seal_session WHERE local = 'orders'")
		w.must(err)
		_, err = w.pool.Exec("DELETE FROM waxwing_seal_stream WHERE local = 'orders'")
		w.must(err)
		w.opens(b, w.seal(a, "billing", "text"), "text")
		w.later(time.Minute)
	}
	if n := w.count("session", "local = 'billing' AND slot <> 0"); n != archivedMax+4 {
		t.Errorf("%d sessions", n)
	}
	w.must(b.Maintain(t.Context()))
	if n := w.count("session", "local = 'billing' AND slot <> 0"); n != archivedMax {
		t.Errorf("%d sessions", n)
	}
	w.later(archivedKept)
	w.must(b.Maintain(t.Context()))
	if n, m := w.count("session", "local = 'billing'"), w.count("session", "local = 'billing' AND slot = 0"); n != 1 || m != 1 {
		t.Errorf("%d sessions, %d sealed with", n, m)
	}
}

// TestBundleThatEnded: a bundle that was fetched ahead, and whose certificate has ended,
// does not stand in the way of the peer's next one.
func TestBundleThatEnded(t *testing.T) {
	w := quick(t)
	renew := func(d time.Duration) {
		id, err := NewIdentity("billing")
		w.must(err)
		if old := w.ids["billing"]; old != nil {
			id = old
		}
		c, err := w.root.Issue(Certificate{Name: "billing", Key: id.Key(), Lanes: 1, NotBefore: w.now(), NotAfter: w.now().Add(d)})
		w.must(err)
		w.ids["billing"], err = id.WithCertificate(c)
		w.must(err)
	}
	renew(24 * time.Hour)
	w.service("billing")
	a := w.service("orders")
	w.must(a.Prepare(t.Context(), "billing"))
	w.later(48 * time.Hour)
	renew(24 * time.Hour)
	b := w.service("billing")
	w.opens(b, w.seal(a, "billing", "one"), "one")
}

// TestBundleThatIsNoGood: a bundle that begins no session is not kept.
func TestBundleThatIsNoGood(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.dir.lie = func(_ string, b *directory.Bundle) {
		k := *b.KEM
		k.Signature = slices.Clone(k.Signature)
		k.Signature[5] ^= 1
		b.KEM = &k
	}
	w.want(a.Prepare(t.Context(), "billing"), ErrUntrusted)
	w.dir.lie = nil
	w.opens(b, w.seal(a, "billing", "one"), "one")
}

// TestStatusIsNotBelieved: a directory cannot use all ids up.
func TestStatusIsNotBelieved(t *testing.T) {
	w := quick(t)
	a := w.service("orders")
	w.dir.ids["orders"].max = 1<<32 - 120
	if err := a.Publish(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "seal: the directory has a prekey ") {
		t.Error("it is believed, or not refused in clear words", err)
	}
	w.dir.ids["orders"].max = 4
	w.must(a.Publish(t.Context()))
}

// TestRenewPrekeys: keys that are made anew are the only ones that are given out, and the old
// ones open what was sealed with them for 30 days.
func TestRenewPrekeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.service("billing")
		old, err := w.dir.Status(t.Context(), "billing")
		w.must(err)
		oneTime := w.seal(w.service("orders"), "billing", "one-time")
		tooLate := w.seal(w.service("shipping"), "billing", "too late")
		w.dir.drain("billing")
		lastResort := w.seal(w.service("audit"), "billing", "last resort")
		w.dir.down = errors.New("down")
		if err := b.RenewPrekeys(t.Context()); err == nil {
			t.Error("no error")
		}
		w.dir.down = nil
		w.must(b.RenewPrekeys(t.Context()))
		s, err := w.dir.Status(t.Context(), "billing")
		w.must(err)
		highest := max(old.SignedID, old.LastResortID, old.OneTimeIDMax, old.OneTimeKEMIDMax)
		if s.OneTime != 4 || s.OneTimeKEM != 4 || min(s.SignedID, s.LastResortID) <= highest {
			t.Errorf("%+v, then %+v", old, s)
		}
		for _, k := range w.dir.ids["billing"].OneTime {
			if k.ID <= highest {
				t.Errorf("the old key %d waits", k.ID)
			}
		}
		w.must(b.Publish(t.Context())) // it is done
		if again, err := w.dir.Status(t.Context(), "billing"); err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%+v, then %+v, %v", s, again, err)
		}
		w.later(prekeyKept - time.Hour)
		w.must(b.Maintain(t.Context()))
		w.opens(b, oneTime, "one-time")
		w.opens(b, lastResort, "last resort")
		w.later(2 * time.Hour)
		w.must(b.Maintain(t.Context()))
		_, err = w.open(b, tooLate)
		w.want(err, ErrExpired)
		w.opens(b, w.seal(w.bare("proof"), "billing", "new"), "new")
		if err := w.bare("billing", Through(nil)).RenewPrekeys(t.Context()); err == nil {
			t.Error("without a directory")
		}
	})
}

// TestNewDatabase: what the directory has of a database that is gone is not given out any
// more once a new one has published, be it that StoreIdentity, Check or Publish comes first.
func TestNewDatabase(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.service("orders")
		for _, first := range []func(b *endpoint) error{
			func(b *endpoint) error { return nil },
			func(b *endpoint) error { return StoreIdentity(t.Context(), w.db, w.keys, w.ids["billing"]) },
			func(b *endpoint) error { _, err := b.Check(t.Context()); return err },
		} {
			b := w.service("billing", CountedBy(w.dir))
			old, err := w.dir.Status(t.Context(), "billing")
			w.must(err)
			w.restore(backup{}, "") // the database is new
			w.must(first(b))
			w.must(b.Publish(t.Context()))
			s, err := w.dir.Status(t.Context(), "billing")
			w.must(err)
			if s.OneTime != 4 || s.OneTimeKEM != 4 || s.SignedID <= old.OneTimeKEMIDMax {
				t.Errorf("%+v, then %+v", old, s)
			}
			w.opens(b, w.seal(a, "billing", "text"), "text")
			// Another time it adds to what waits.
			w.must(b.Publish(t.Context()))
			if again, err := w.dir.Status(t.Context(), "billing"); err != nil || again.OneTime != 3 || again.OneTimeIDMax != s.OneTimeIDMax {
				t.Errorf("%+v, then %+v, %v", s, again, err)
			}
		}
	})
}

// emptied is a directory that says that no one-time keys wait, or fewer than none.
type emptied struct {
	*memDirectory
	waiting int
}

func (d emptied) Status(ctx context.Context, name string) (directory.Status, error) {
	s, err := d.memDirectory.Status(ctx, name)
	s.OneTime, s.OneTimeKEM = d.waiting, d.waiting
	return s, err
}

// TestUnusedAreBounded: a directory that hides what waits does not have keys made for ever,
// and keys that replace those that wait are made all the same.
func TestUnusedAreBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if w.d.Dialect != "sqlite" && !sample.Full() {
			return
		}
		log := &bytes.Buffer{}
		a := w.bare("orders", OneTimeKeys(1), Through(&emptied{w.dir, -1000}), Logger(slog.New(slog.NewTextHandler(log, nil))))
		for range unusedMax {
			w.must(a.Publish(t.Context()))
		}
		if log.Len() > 0 {
			t.Error(log)
		}
		unused := func() {
			t.Helper()
			for _, kind := range []int{prekeyOneTime, prekeyOneTimeKEM} {
				if n := w.count("prekey", "local = 'orders' AND kind = ?", kind); n != unusedMax {
					t.Errorf("%d keys of kind %d", n, kind)
				}
			}
		}
		unused()
		for range 3 {
			w.must(a.Publish(t.Context()))
		}
		unused()
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "unused=100") {
			t.Error(log)
		}
		last, err := w.dir.Status(t.Context(), "orders")
		w.must(err)
		w.must(a.RenewPrekeys(t.Context()))
		unused()
		s, err := w.dir.Status(t.Context(), "orders")
		if err != nil || s.OneTime != 1 || s.OneTimeKEM != 1 || s.OneTimeIDMax <= last.OneTimeKEMIDMax {
			t.Errorf("%+v, then %+v, %v", last, s, err)
		}
		w.opens(a, w.seal(w.service("billing"), "orders", "hello"), "hello")
	})
}

// TestDirectoryErrors: what a directory answers is told in one sentence.
func TestDirectoryErrors(t *testing.T) {
	w := quick(t)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusForbidden)
		json.NewEncoder(rw).Encode(directory.Failure{Reason: "not yours"})
	}))
	defer s.Close()
	dir, err := directory.NewClient(directory.Config{URL: s.URL})
	w.must(err)
	defer dir.Close()
	a := w.bare("orders", Through(dir), CountedBy(dir))
	_, check := a.Check(t.Context())
	for want, err := range map[string]error{
		"seal: publishing prekeys: directory: GET orders: not yours (HTTP 403)":                        a.Publish(t.Context()),
		"seal: a bundle of billing: directory: POST billing/take: not yours (HTTP 403)":                a.Prepare(t.Context(), "billing"),
		"seal: the counter: directory: GET orders/marks: not yours (HTTP 403)":                         check,
		"seal: no session: with billing: a bundle: directory: POST billing/take: not yours (HTTP 403)": w.trySeal(w.bare("orders", Through(dir)), "billing", w.message("things", "k", "text")),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestEnded: a session that cannot be used any more leaves nothing but its sequence.
func TestEnded(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	late := w.seal(a, "billing", "late")
	w.opens(b, w.seal(a, "billing", "one"), "one")
	w.later(372*24*time.Hour - time.Hour)
	w.must(errors.Join(a.core.clean(t.Context()), b.core.clean(t.Context())))
	if n := w.count("session", "slot = 0"); n != 2 {
		t.Errorf("%d sessions", n)
	}
	w.later(2 * time.Hour)
	w.must(errors.Join(a.core.clean(t.Context()), b.core.clean(t.Context())))
	if n, m := w.count("session", "1 = 1"), w.count("skipped", "1 = 1"); n+m != 0 {
		t.Errorf("%d sessions, %d keys", n, m)
	}
	if w.count("stream", "local = 'orders' AND low = 2") != 1 {
		t.Error("the sequence is forgotten")
	}
	_, err := w.open(b, late)
	w.want(err, ErrExpired)
}

// forgetful is a directory whose answers to publications are lost.
type forgetful struct {
	*memDirectory
	got []directory.Publication
}

func (f *forgetful) Publish(ctx context.Context, name string, p directory.Publication) (directory.Status, error) {
	f.got = append(f.got, p)
	s, err := f.memDirectory.Publish(ctx, name, p)
	if len(f.got) == 1 {
		err = errAgain
	}
	return s, err
}

// TestPublishAgain: what is published again, because the answer was lost or the process
// died, is what was published before, signatures included.
func TestPublishAgain(t *testing.T) {
	w := quick(t)
	dir := &forgetful{memDirectory: w.dir}
	w.want(w.bare("orders", Through(dir)).Publish(t.Context()), errAgain)
	w.must(w.bare("orders", Through(dir)).Publish(t.Context()))
	if len(dir.got) != 2 || len(dir.got[0].OneTimeKEM) != 4 || !reflect.DeepEqual(dir.got[0], dir.got[1]) {
		t.Errorf("%d publications that differ", len(dir.got))
	}
}
