package seal

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sample"
)

// TestSecretsStayOutOfLogs: nothing that is logged, or told by an error, holds a secret,
// however it is written.
func TestSecretsStayOutOfLogs(t *testing.T) {
	w := quick(t)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, b := w.service("orders", Logger(logger), CountedBy(w.dir)), w.service("billing", Logger(logger))
	_, err := a.Check(t.Context())
	w.must(err)
	id := w.identity("orders", 1)
	key, err := NewStorageKey(7)
	w.must(err)
	ring, err := NewKeyRing(key)
	w.must(err)
	const body = "a text that nobody else may read"
	m := w.seal(a, "billing", body)
	bad := *m
	bad.Body = append(slices.Clone(m.Body), 1)
	_, err = w.open(b, &bad)
	told := fmt.Sprintf("%v %+v %#v\n", err, err, err)
	w.opens(b, m, body)
	for _, v := range []any{id, key, ring, w.root, a, b, a.core.self} {
		told += fmt.Sprintf("%v %+v %#v %s\n", v, v, v, v)
		logger.Info("value", "v", v)
	}
	text := told + log.String()
	secrets := [][]byte{[]byte(body), id.key[:], key.key[:], w.root.key.Seed()}
	for i, s := range secrets {
		for _, form := range []string{string(s), hex.EncodeToString(s), base64.StdEncoding.EncodeToString(s), strings.Trim(fmt.Sprint(s), "[]"), strings.Trim(strings.ReplaceAll(fmt.Sprintf("%#v", s), "[]byte", ""), "{}")} {
			if strings.Contains(text, form) {
				t.Errorf("secret %d is told as %q", i, form)
			}
		}
	}
}

// TestMetrics: what happens is counted.
func TestMetrics(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		first, second := w.seal(a, "billing", "one"), w.seal(a, "billing", "two")
		w.opens(b, second, "two")
		_, err := w.open(b, second)
		w.want(err, ErrDuplicate)
		bad := *first
		bad.ID = "x"
		_, err = w.open(b, &bad)
		w.want(err, ErrMismatch)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(a.Collector(), b.Collector())
		families, err := registry.Gather()
		w.must(err)
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.Metric {
				name := f.GetName()
				for _, l := range m.Label {
					name += " " + l.GetValue()
				}
				got[strings.TrimPrefix(name, "waxwing_seal_")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"sealed_total orders": 2, "opened_total billing": 1, "duplicates_total billing": 1, "failures_total billing mismatch": 1,
			"failures_total billing other": 0, "restores_total orders": 0, "one_time_keys billing": 4, "sessions billing": 1, "sessions orders": 1, "skipped_keys billing": 2, "parked billing": 0,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
	})
}

// TestOptions: what cannot work is refused.
func TestOptions(t *testing.T) {
	w := quick(t)
	id, err := NewIdentity("orders")
	w.must(err)
	good := w.identity("orders", 1)
	pinned := Pinned(w.root.Public())
	for name, f := range map[string]func() error{
		"nobody to trust":  func() error { _, err := New(w.db, good, w.keys); return err },
		"no certificate":   func() error { _, err := New(w.db, id, w.keys, pinned); return err },
		"no keys":          func() error { _, err := New(w.db, good, nil, pinned); return err },
		"no KEM":           func() error { _, err := New(w.db, good, w.keys, pinned, Profile(3)); return err },
		"two rules":        func() error { _, err := New(w.db, good, w.keys, pinned, To("a", "b"), ToGroup("a", "c")); return err },
		"no peer's name":   func() error { _, err := New(w.db, good, w.keys, pinned, To("a", "b c")); return err },
		"nobody's name":    func() error { _, err := New(w.db, good, w.keys, pinned, To("a", "")); return err },
		"no time":          func() error { _, err := New(w.db, good, w.keys, pinned, KeepSkipped(0)); return err },
		"too many keys":    func() error { _, err := New(w.db, good, w.keys, pinned, OneTimeKeys(2000)); return err },
		"no instance name": func() error { _, err := New(w.db, good, w.keys, pinned, Instance("")); return err },
		"foreign certificate": func() error {
			_, err := id.WithCertificate(good.Certificate())
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestManySkipped: keys beyond 2,000 of a chain go, and a jump beyond the limit is refused.
func TestManySkipped(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if w.d.Dialect != "sqlite" && !sample.Full() {
			return
		}
		a, b := w.service("orders"), w.service("billing")
		w.opens(b, w.seal(a, "billing", "first"), "first")
		var early, late *bus.Message
		burn := func(n uint32) { // as many numbers that are not used
			w.change(func(ctx context.Context, tx *sql.Tx) error {
				c := w.db.Bind(tx)
				s, err := a.core.currentSession(ctx, c, "billing", 0)
				w.must(err)
				_, at := s.state.SendIndex()
				s.state, err = s.state.Burn(at + n)
				w.must(err)
				return a.core.saveSession(ctx, c, s, false)
			})
		}
		early = w.seal(a, "billing", "early")
		burn(1500)
		late = w.seal(a, "billing", "late")
		w.opens(b, w.seal(a, "billing", "one"), "one")
		burn(1500)
		w.opens(b, w.seal(a, "billing", "two"), "two")
		if n := w.count("skipped", "local = 'billing' AND pq = 0"); n != 2000 {
			t.Errorf("%d keys", n)
		}
		w.opens(b, late, "late")
		_, err := w.open(b, early)
		w.want(err, ErrDuplicate)
		burn(25_000)
		burn(2)
		before := w.dump()
		_, err = w.open(b, w.seal(a, "billing", "far"))
		w.want(err, ErrTooFar)
		after := w.dump()
		delete(before, "session")
		delete(after, "session")
		if !before.same(after) {
			t.Error("it has left something")
		}
	})
}
