package directory_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/internal/directory"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	sealdirectory "github.com/waxwing-mq/waxwing/seal/directory"
)

// server is a directory over HTTPS on a broker in memory, with some users, whose
// passwords are their names.
type server struct {
	t testing.TB
	*httptest.Server
	broker *broker.Broker
}

func newServer(t testing.TB, users ...string) *server {
	t.Helper()
	eng, err := mem.New(mem.Options{FileBytes: 8 << 20}).Engine()
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(t.Context(), broker.Config{Engine: eng})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	s := &server{t: t, broker: b}
	for _, u := range users {
		s.addUser(u)
	}
	h := directory.New(directory.Config{
		Broker: func() *broker.Broker { return b }, Logger: slog.New(slog.DiscardHandler),
		Local: func(r *http.Request) bool { return r.Host == "local.test" },
		Login: func(w http.ResponseWriter, r *http.Request) (string, bool) {
			user, password, _ := r.BasicAuth()
			if b.Authenticate(user, password, true) != nil {
				w.WriteHeader(http.StatusUnauthorized)
				return "", false
			}
			return user, true
		},
	})
	mux := http.NewServeMux()
	mux.Handle(sealdirectory.Path, h)
	s.Server = httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *server) addUser(name string) {
	s.t.Helper()
	err := s.broker.ChangeAccess(context.Background(), func(d *access.Durable) ([]access.Entry, error) {
		return d.DecidePutUser(access.User{Name: name, Password: access.HashPassword(access.SHA256, [access.SaltBytes]byte{1}, name)})
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// as is a client of a user.
func (s *server) as(user string) *sealdirectory.Client {
	s.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := sealdirectory.NewClient(sealdirectory.Config{URL: s.URL, User: user, Password: user, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func publication(first uint32, n int) sealdirectory.Publication {
	p := sealdirectory.Publication{
		RegistrationID: 7, Certificate: []byte("certificate"),
		Signed:     &sealdirectory.SignedKey{ID: 3, Key: []byte("signed"), Signature: []byte("s1")},
		LastResort: &sealdirectory.SignedKey{ID: 1 << 30, Key: []byte("last"), Signature: []byte("s2")},
	}
	for i := range uint32(n) {
		id := first + i
		p.OneTime = append(p.OneTime, sealdirectory.Key{ID: id, Key: bytes.Repeat([]byte{byte(id)}, 33)})
		p.OneTimeKEM = append(p.OneTimeKEM, sealdirectory.SignedKey{ID: id, Key: bytes.Repeat([]byte{byte(id)}, 1569), Signature: make([]byte, 64)})
	}
	return p
}

// TestDirectory goes through all calls.
func TestDirectory(t *testing.T) {
	s := newServer(t, "orders", "payments")
	ctx, orders, payments := t.Context(), s.as("orders"), s.as("payments")
	// As much as can be, which takes several requests.
	st, err := orders.Publish(ctx, "orders", publication(1, 1000))
	want := sealdirectory.Status{
		Name: "orders", RegistrationID: 7, SignedID: 3, LastResortID: 1 << 30,
		OneTime: 1000, OneTimeKEM: 1000, OneTimeIDMax: 1000, OneTimeKEMIDMax: 1000,
		Certificate: []byte("certificate"), Signed: publication(1, 0).Signed, LastResort: publication(1, 0).LastResort,
	}
	if err != nil || !reflect.DeepEqual(st, want) {
		t.Fatalf("%+v, %v", st, err)
	}
	// Anybody sees the same, and uses nothing up.
	if st, err = payments.Status(ctx, "orders"); err != nil || !reflect.DeepEqual(st, want) {
		t.Errorf("%+v, %v", st, err)
	}
	for id := range uint32(3) {
		b, err := payments.Take(ctx, "orders")
		if err != nil {
			t.Fatal(err)
		}
		p := publication(id+1, 1)
		got, _ := json.Marshal(b)
		wanted, _ := json.Marshal(sealdirectory.Bundle{
			Name: "orders", RegistrationID: 7, Certificate: p.Certificate, Signed: *p.Signed, OneTime: &p.OneTime[0], KEM: &p.OneTimeKEM[0],
		})
		if !bytes.Equal(got, wanted) {
			t.Fatalf("%.300s\nwant %.300s", got, wanted)
		}
	}
	if st, err = payments.Status(ctx, "orders"); err != nil || st.OneTime != 997 {
		t.Errorf("%+v, %v", st, err)
	}
	p := sealdirectory.Publication{Replace: true, Signed: &sealdirectory.SignedKey{ID: 4, Key: []byte("k"), Signature: []byte("s")}}
	if st, err = orders.Publish(ctx, "orders", p); err != nil || st.OneTime != 0 || st.SignedID != 4 {
		t.Errorf("%+v, %v", st, err)
	}
	b, err := payments.Take(ctx, "orders")
	if err != nil || b.OneTime != nil || !b.LastResort || b.KEM.ID != 1<<30 {
		t.Errorf("%+v, %v", b, err)
	}
	marks, err := orders.Raise(ctx, "orders", map[uint32]uint64{0: 1<<63 + 1, 5: 5})
	if err != nil || !maps.Equal(marks, map[uint32]uint64{0: 1<<63 + 1, 5: 5}) {
		t.Errorf("%v, %v", marks, err)
	}
	if marks, err = orders.Raise(ctx, "orders", map[uint32]uint64{5: 4, 6: 1}); err != nil || !maps.Equal(marks, map[uint32]uint64{5: 5, 6: 1}) {
		t.Errorf("%v, %v", marks, err)
	}
	if marks, err = orders.Marks(ctx, "orders"); err != nil || !maps.Equal(marks, map[uint32]uint64{0: 1<<63 + 1, 5: 5, 6: 1}) {
		t.Errorf("%v, %v", marks, err)
	}
	if err := orders.Delete(ctx, "orders"); err != nil {
		t.Error(err)
	}
	if _, err := orders.Status(ctx, "orders"); !errors.Is(err, sealdirectory.ErrNotFound) {
		t.Error(err)
	}
}

// TestErrors: each refusal is of its kind.
func TestErrors(t *testing.T) {
	s := newServer(t, "orders")
	ctx, c := t.Context(), s.as("orders")
	if _, err := c.Publish(ctx, "orders", publication(1, 2)); err != nil {
		t.Fatal(err)
	}
	conflict := publication(2, 1)
	conflict.OneTime[0].Key = []byte("another")
	large := publication(3, 1)
	large.Certificate = make([]byte, sealdirectory.CertificateBytesMax+1)
	many := publication(3, sealdirectory.OneTimeMax)
	publish := func(p sealdirectory.Publication) func() error {
		return func() error { _, err := c.Publish(ctx, "orders", p); return err }
	}
	for name, x := range map[string]struct {
		do   func() error
		want error
	}{
		"nobody":           {func() error { _, err := s.as("nobody").Status(ctx, "orders"); return err }, sealdirectory.ErrUnauthorized},
		"no such identity": {func() error { _, err := c.Take(ctx, "shipping"); return err }, sealdirectory.ErrNotFound},
		"an id twice":      {publish(conflict), sealdirectory.ErrConflict},
		"a certificate":    {publish(large), sealdirectory.ErrInvalid},
		"too many":         {publish(many), sealdirectory.ErrQuota},
		"a lane": {func() error {
			_, err := c.Raise(ctx, "orders", map[uint32]uint64{sealdirectory.LanesMax: 1})
			return err
		}, sealdirectory.ErrInvalid},
		"somebody else's":    {func() error { _, err := c.Publish(ctx, "payments", publication(1, 1)); return err }, sealdirectory.ErrForbidden},
		"a name":             {func() error { _, err := c.Status(ctx, "a\n"); return err }, sealdirectory.ErrInvalid},
		"no name":            {func() error { _, err := c.Status(ctx, ""); return err }, sealdirectory.ErrInvalid},
		"marks of others":    {func() error { _, err := c.Marks(ctx, "payments"); return err }, sealdirectory.ErrForbidden},
		"deletion of others": {func() error { return c.Delete(ctx, "payments") }, sealdirectory.ErrForbidden},
	} {
		if err := x.do(); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
	s.broker.Close()
	if _, err := c.Take(ctx, "orders"); !errors.Is(err, sealdirectory.ErrUnavailable) {
		t.Error(err)
	}
}

// TestWhoOwnsWhat: an identity belongs to the user with the longest name that it
// begins with.
func TestWhoOwnsWhat(t *testing.T) {
	s := newServer(t, "a", "a.b", "guest2", "x/y")
	for _, c := range []struct {
		user, identity string
		may            bool
	}{
		{"a", "a", true}, {"a", "a/1", true}, {"a", "a.1", true}, {"a", "a/1/2", true}, {"a", "a.b", false}, {"a", "a.b/1", false},
		{"a", "ab", false}, {"a", "b", false}, {"a", "A", false}, {"a", "/a", false},
		{"a.b", "a.b", true}, {"a.b", "a.b.c", true}, {"a.b", "a.bc", false}, {"a.b", "a", false},
		{"x/y", "x/y", true}, {"x/y", "x/y/z", true}, {"x/y", "x", false}, {"a", "x/y", false}, {"a", "/", false}, {"a", "a/", true},
		{"guest", "a", true}, {"guest", "anything/ü %2F?#", true}, {"guest", "/", true},
	} {
		_, err := s.as(c.user).Publish(t.Context(), c.identity, publication(1, 1))
		if c.may != (err == nil) || !c.may && !errors.Is(err, sealdirectory.ErrForbidden) {
			t.Errorf("%q publishes %q: %v", c.user, c.identity, err)
		}
		if st, err := s.as("a").Status(t.Context(), c.identity); c.may && (err != nil || st.Name != c.identity) {
			t.Errorf("status of %q: %+v, %v", c.identity, st, err)
		}
	}
	// A user that is made later takes over what is its name.
	s.addUser("a/1")
	if _, err := s.as("a").Publish(t.Context(), "a/1", publication(2, 1)); !errors.Is(err, sealdirectory.ErrForbidden) {
		t.Error(err)
	}
}

// TestManyAtOnce: takers over HTTPS get each key once.
func TestManyAtOnce(t *testing.T) {
	s := newServer(t, "orders", "payments")
	if _, err := s.as("orders").Publish(t.Context(), "orders", publication(1, 60)); err != nil {
		t.Fatal(err)
	}
	c := s.as("payments")
	var mu sync.Mutex
	given := map[uint32]int{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				b, err := c.Take(t.Context(), "orders")
				if err != nil {
					t.Error(err)
					return
				}
				if b.OneTime != nil {
					mu.Lock()
					given[b.OneTime.ID]++
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	if len(given) != 60 {
		t.Errorf("%d keys given out", len(given))
	}
	for id, times := range given {
		if times != 1 {
			t.Errorf("key %d was given out %d times", id, times)
		}
	}
	if st := s.broker.PrekeyStats(); st.Takes != 80 || st.TakesWithout != 20 {
		t.Errorf("%+v", st)
	}
}

// TestQuotas: a user can make so many identities, and fill so many bytes, also with the
// identities that are called after it, until it deletes some. Others are not bounded by
// what it has, and administrators only by what all may have.
func TestQuotas(t *testing.T) {
	s := newServer(t, "orders", "orders.eu", "payments")
	ctx, orders := t.Context(), s.as("orders")
	refused := func(what, says string, err error) {
		t.Helper()
		var e *sealdirectory.Error
		if !errors.Is(err, sealdirectory.ErrQuota) || !errors.As(err, &e) || e.Status != http.StatusTooManyRequests || !strings.Contains(e.Reason, says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	does := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	put := func(c *sealdirectory.Client, name string, first uint32, n int) error {
		_, err := c.Publish(ctx, name, publication(first, n))
		return err
	}
	for i := range sealdirectory.UserIdentitiesMax {
		does("an identity", put(orders, fmt.Sprint("orders/", i), 1, 0))
	}
	refused("one more", "its user has 64 already, 64 are allowed", put(orders, "orders", 1, 0))
	does("another user", put(s.as("payments"), "payments", 1, 0))
	does("a user whose name begins so", put(s.as("orders.eu"), "orders.eu/1", 1, 0))
	does("an administrator", put(s.as("guest"), "orders/more", 1, 0))
	does("publishing again", put(orders, "orders/0", 1, 0))
	does("deletion", orders.Delete(ctx, "orders/more"))
	does("deletion", orders.Delete(ctx, "orders/63"))
	does("one in its place", put(orders, "orders", 1, 0))
	// As many keys as an identity can have, until all of them are too large.
	var full error
	filled := 0
	for ; full == nil && filled < 20; filled++ {
		full = put(orders, fmt.Sprint("orders/", filled), 1, sealdirectory.OneTimeMax)
	}
	refused("too many bytes", "the identities of its user take", full)
	if st := s.broker.PrekeyStats(); filled < 5 || st.Bytes > sealdirectory.UserBytesMax+1<<20 {
		t.Errorf("%d identities were filled, with %d bytes", filled-1, st.Bytes)
	}
	does("an administrator", put(s.as("guest"), "orders/61", 1, 1000))
	does("another user", put(s.as("payments"), "payments", 1, 1000))
	refused("keys that wait", "would have 1001 one-time keys of a kind that wait", put(s.as("payments"), "payments", 1001, 1))
}

// TestTakersAreBounded: who takes many gets the last-resort key, and others do not.
func TestTakersAreBounded(t *testing.T) {
	s := newServer(t, "orders", "payments", "shipping")
	ctx := t.Context()
	if _, err := s.as("orders").Publish(ctx, "orders", publication(1, 200)); err != nil {
		t.Fatal(err)
	}
	take := func(c *sealdirectory.Client) sealdirectory.Bundle {
		t.Helper()
		b, err := c.Take(ctx, "orders")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	payments, n := s.as("payments"), 0
	for ; n < 150 && take(payments).OneTime != nil; n++ {
	}
	if n < 100 || n > 102 { // one more for each 36 s that this has taken
		t.Errorf("%d one-time keys at once", n)
	}
	if b := take(s.as("shipping")); b.OneTime == nil || b.LastResort {
		t.Errorf("another user gets %+v", b)
	}
	if st, err := payments.Status(ctx, "orders"); err != nil || st.OneTime != 200-n-1 {
		t.Errorf("%d keys wait, %v", st.OneTime, err)
	}
}

// TestLimitsAreTold: what the broker enforces is what package seal/directory says.
func TestLimitsAreTold(t *testing.T) {
	l := prekey.DefaultLimits
	got := []int{l.NameBytes, l.CertificateBytes, l.KeyBytes, l.OneTime, int(l.Lanes), l.UserIdentities, l.UserBytes}
	want := []int{
		sealdirectory.NameBytesMax, sealdirectory.CertificateBytesMax, sealdirectory.KeyBytesMax, sealdirectory.OneTimeMax,
		sealdirectory.LanesMax, sealdirectory.UserIdentitiesMax, sealdirectory.UserBytesMax,
	}
	if !slices.Equal(got, want) {
		t.Errorf("enforced %v, told %v", got, want)
	}
}

// TestRequests: what no client of ours sends.
func TestRequests(t *testing.T) {
	s := newServer(t, "orders")
	if _, err := s.as("orders").Publish(t.Context(), "orders", publication(1, 2)); err != nil {
		t.Fatal(err)
	}
	ask := func(base, method, path, body string, change func(*http.Request)) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("orders", "orders")
		if change != nil {
			change(r)
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	const me = sealdirectory.Path + "orders"
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", me, "", 200},
		{"HEAD", me, "", 200},
		{"GET", me + "/marks", "", 200},
		{"POST", me, "{}", 405},
		{"GET", me + "/take", "", 405},
		{"PUT", me + "/marks", "{}", 405},
		{"GET", me + "/other", "", 404},
		{"POST", me + "/take/", "", 404},
		{"GET", sealdirectory.Path, "", 400},
		{"GET", sealdirectory.Path + "%ff", "", 400},
		{"PUT", me, "", 400},
		{"PUT", me, "{", 400},
		{"PUT", me, "[]", 400},
		{"PUT", me, `{} {}`, 400},
		{"PUT", me, `{"later":1}`, 400},
		{"PUT", me, `{"one_time":[{"id":-1}]}`, 400},
		{"PUT", me, `{"one_time":[{"id":4294967296}]}`, 400},
		{"PUT", me, `{"one_time":[{"id":5,"key":"!"}]}`, 400},
		{"PUT", me, `{"one_time":[{"id":0,"key":"AA=="}]}`, 400},
		{"PUT", me, `{}`, 200},
		{"PUT", me, `{"certificate":"` + strings.Repeat("A", 3<<20) + `"}`, 413},
		{"POST", me + "/marks", `{"marks":{"-1":1}}`, 400},
		{"POST", me + "/marks", `{"marks":{"1":-1}}`, 400},
		{"POST", me + "/marks", `{"marks":{"1":1.5}}`, 400},
		{"POST", me + "/marks", `{"marks":{"1":18446744073709551616}}`, 400},
		{"POST", me + "/marks", `{"marks":{` + strings.Repeat(`"1":1,`, 40_000) + `"1":1}}`, 413},
		{"POST", me + "/marks", `{}`, 200},
	} {
		status, text := ask(s.URL, c.method, c.path, c.body, nil)
		var f sealdirectory.Failure
		if status != c.status || c.method != "HEAD" && c.status >= 400 && (json.Unmarshal([]byte(text), &f) != nil || f.Error != http.StatusText(status) || f.Reason == "") {
			t.Errorf("%s %s %.60s: %d %s, want %d", c.method, c.path, c.body, status, text, c.status)
		}
	}
	// A page of another site.
	for header, want := range map[string]int{"cross-site": 403, "same-origin": 200} {
		if status, text := ask(s.URL, "POST", me+"/take", "", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", header) }); status != want {
			t.Errorf("%s: %d %s", header, status, text)
		}
	}
	// Without TLS: from this machine only, and nobody logs in from elsewhere.
	plain := httptest.NewServer(s.Config.Handler)
	defer plain.Close()
	if status, text := ask(plain.URL, "GET", me, "", nil); status != 403 || !strings.Contains(text, "HTTPS") {
		t.Errorf("over HTTP: %d %s", status, text)
	}
	if status, text := ask(plain.URL, "GET", me, "", func(r *http.Request) { r.Host = "local.test" }); status != 200 {
		t.Errorf("over HTTP, on this machine: %d %s", status, text)
	}
}

// TestPublicationsWait: more at once than may be in memory at a time.
func TestPublicationsWait(t *testing.T) {
	s := newServer(t, "orders")
	c := s.as("orders")
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			if _, err := c.Publish(t.Context(), fmt.Sprint("orders/", i), publication(1, 100)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if st := s.broker.PrekeyStats(); st.Identities != 30 || st.OneTime != 3000 {
		t.Errorf("%+v", st)
	}
}

// BenchmarkRaise is what a relay waits for before each batch: one request over TLS,
// on a log in memory.
func BenchmarkRaise(b *testing.B) {
	s := newServer(b, "orders")
	c := s.as("orders")
	if _, err := c.Publish(b.Context(), "orders", publication(1, 100)); err != nil {
		b.Fatal(err)
	}
	for i := uint64(1); b.Loop(); i++ {
		if _, err := c.Raise(b.Context(), "orders", map[uint32]uint64{1: i, 2: i, 3: i}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTake is what begins a session, with one-time keys as long as there are.
func BenchmarkTake(b *testing.B) {
	s := newServer(b, "orders")
	c := s.as("orders")
	if _, err := c.Publish(b.Context(), "orders", publication(1, 1000)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Take(b.Context(), "orders"); err != nil {
			b.Fatal(err)
		}
	}
}
