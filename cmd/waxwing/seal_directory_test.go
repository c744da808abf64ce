package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// sealedKeys reads NAME.id and a storage key.
func sealedKeys(ts *testscript.TestScript, name, storageKey string) (*seal.Identity, *seal.KeyRing) {
	id, err := seal.DecodeIdentity([]byte(ts.ReadFile(name + ".id")))
	ts.Check(err)
	key, err := seal.DecodeStorageKey([]byte(ts.ReadFile(storageKey)))
	ts.Check(err)
	keys, err := seal.NewKeyRing(key)
	ts.Check(err)
	return id, keys
}

// sealedService opens the endpoint of NAME.id and NAME.db.
func sealedService(ts *testscript.TestScript, name, storageKey string) (*seal.Endpoint[*sql.Tx], *sqldb.DB[*sql.Tx], func() error) {
	id, keys := sealedKeys(ts, name, storageKey)
	root, err := seal.ParseRootKey([]byte(ts.ReadFile("root.pub")))
	ts.Check(err)
	client, err := directory.NewClient(directory.Config{URL: ts.Getenv("WAXWING_DIRECTORY"), User: "guest", Password: "guest"})
	ts.Check(err)
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(ts.Getenv("WORK"), name+".db"))
	ts.Check(err)
	ep, err := seal.New(db, id, keys, seal.Pinned(root), seal.Through(client), seal.VerifiedOnly())
	ts.Check(err)
	return ep, db, pool.Close
}

// storeIdentity keeps an identity in its database: store-identity NAME STORAGE-KEY.
func storeIdentity(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: store-identity NAME STORAGE-KEY")
	}
	id, keys := sealedKeys(ts, args[0], args[1])
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(ts.Getenv("WORK"), args[0]+".db"))
	ts.Check(err)
	defer pool.Close()
	ts.Check(seal.StoreIdentity(context.Background(), db, keys, id))
}

// sealMessage has a service seal a message to another, which it has verified:
// seal-message FROM TO FILE.
func sealMessage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: seal-message FROM TO FILE")
	}
	ep, db, end := sealedService(ts, args[0], "old.key")
	defer end()
	m := bus.Message{Topic: "bills", Key: "k", ID: "1", Type: "bill", Body: []byte("a secret")}
	ts.Check(db.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error { return ep.Seal(ctx, tx, args[1], &m) }))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), m.Body, 0o644))
}

// openMessage has a service open what sealMessage wrote: open-message NAME STORAGE-KEY FILE.
func openMessage(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: open-message NAME STORAGE-KEY FILE")
	}
	ctx := context.Background()
	ep, db, end := sealedService(ts, args[0], args[1])
	defer end()
	d := bus.Delivery{Message: bus.Message{Topic: "bills", Key: "k", ID: "1", Type: "bill", Body: []byte(ts.ReadFile(args[2]))}}
	if !neg { // the peer, who is verified by its number as an operator would
		number, err := ep.SafetyNumber(ctx, "payments")
		if err != nil {
			ts.Check(ep.Prepare(ctx, "payments"))
			number, err = ep.SafetyNumber(ctx, "payments")
		}
		ts.Check(err)
		ts.Check(ep.Verify(ctx, "payments", number))
	}
	err := db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return ep.Open(ctx, tx, &d) })
	if (err != nil) != neg {
		ts.Fatalf("open: %v", err)
	}
	fmt.Fprintf(ts.Stdout(), "%s\n", d.Body)
}

// recodeFile writes a file in another way, with more behind it: recode FILE HOW TO [MORE].
func recodeFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: recode FILE base64|hex|json|cut TO [MORE]")
	}
	b := []byte(ts.ReadFile(args[0]))
	var out string
	switch args[1] {
	case "base64":
		out = base64.StdEncoding.EncodeToString(b)
	case "hex":
		out = hex.EncodeToString(b)
	case "json":
		text, err := json.Marshal(map[string]any{"topic": "bills", "value_base64": b})
		ts.Check(err)
		out = string(text)
	case "cut":
		out = string(b[:len(b)-300])
	}
	if len(args) > 3 {
		out += "\n" + ts.ReadFile(args[3])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(out), 0o644))
}

// sameValue compares a value of two JSON documents and puts it into a variable:
// same-value FILE FILE PATH VARIABLE.
func sameValue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: same-value FILE FILE PATH VARIABLE")
	}
	a, b := jsonValue(ts, args[0], args[2]), jsonValue(ts, args[1], args[2])
	if a != b {
		ts.Fatalf("%v and %v", a, b)
	}
	ts.Setenv(args[3], fmt.Sprint(a))
}

// aboveValue says whether a number has risen from one JSON document to another:
// above FILE FILE PATH.
func aboveValue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: above FILE FILE PATH")
	}
	a, okA := jsonValue(ts, args[0], args[2]).(float64)
	b, okB := jsonValue(ts, args[1], args[2]).(float64)
	if !okA || !okB || b <= a {
		ts.Fatalf("%v, then %v", a, b)
	}
}

// sealCommand runs waxwing seal in this process.
func sealCommand(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	cmd := newRootCommand()
	cmd.SetArgs(append([]string{"seal"}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(&diagnostics)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// TestSealDirectoryTLS: a directory over HTTPS is asked if its certificate is of an
// authority that is trusted, and what it says does not get at the terminal.
func TestSealDirectoryTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "app" || password != "pass word" {
			w.WriteHeader(http.StatusUnauthorized)
		} else if strings.HasSuffix(r.URL.Path, "/bad") {
			w.WriteHeader(http.StatusTeapot)
			json.NewEncoder(w).Encode(directory.Failure{Reason: "\x1b[2J\nforged"})
		} else {
			json.NewEncoder(w).Encode(directory.Status{Name: "\x1b[2J", OneTime: 3})
		}
	}))
	defer s.Close()
	ca, password := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "password")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for file, text := range map[string][]byte{ca: text, password: []byte("pass word\n")} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--directory", s.URL, "--user", "app", "--password-file", password}
	if _, err := sealCommand(t, append([]string{"status", "x"}, args...)...); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its authority: %v", err)
	}
	args = append(args, "--ca", ca)
	out, err := sealCommand(t, append([]string{"status", "x"}, args...)...)
	if err != nil || !strings.Contains(out, "  3 ") || hasControls(out) {
		t.Errorf("with its authority: %q, %v", out, err)
	}
	if _, err := sealCommand(t, append([]string{"status", "bad"}, args...)...); err == nil || hasControls(err.Error()) || !strings.HasPrefix(err.Error(), "bad: the directory says: ") || !strings.Contains(err.Error(), "forged") {
		t.Errorf("a hostile reason: %v", err)
	}
	if _, err := sealCommand(t, append([]string{"status", "x"}, append(args, "--ca", password)...)...); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("an authority that is none: %v", err)
	}
}

// said is what a directory says of an identity.
type said struct {
	certificate []byte
	signed, kem *directory.SignedKey
}

// sayingDirectory shows one thing of an identity, gives out another, and counts how often
// it has done so.
func sayingDirectory(t *testing.T, shown, given said) (args []string, taken *atomic.Int32) {
	taken = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/take") {
			json.NewEncoder(w).Encode(directory.Status{Name: "billing", RegistrationID: 1, Certificate: shown.certificate, Signed: shown.signed, LastResort: shown.kem})
			return
		}
		taken.Add(1)
		json.NewEncoder(w).Encode(directory.Bundle{Name: "billing", RegistrationID: 1, Certificate: given.certificate, Signed: *given.signed, KEM: given.kem})
	}))
	t.Cleanup(s.Close)
	t.Setenv(passwordVariable, "secret")
	return []string{"--directory", s.URL, "--user", "app"}, taken
}

// TestSealVerifyLies: whatever a directory changes in what it shows, or with --take in what
// it gives out, is noticed.
func TestSealVerifyLies(t *testing.T) {
	root, err := seal.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	pub := filepath.Join(t.TempDir(), "root.pub")
	if err := os.WriteFile(pub, root.Public().Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	key, _ := ratchet.GenerateKey(rand.Reader)
	other, _ := ratchet.GenerateKey(rand.Reader)
	now := time.Now().Truncate(time.Second)
	certificate := func(name string, k ratchet.PrivateKey, until time.Duration) []byte {
		c, err := root.Issue(seal.Certificate{Name: name, Key: k.Public(), Lanes: 1, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(until)})
		if err != nil {
			t.Fatal(err)
		}
		return c.Bytes()
	}
	signed := func(by ratchet.PrivateKey) *directory.SignedKey {
		k := other.Public().Encode()
		sig, err := ratchet.Sign(rand.Reader, by, k)
		if err != nil {
			t.Fatal(err)
		}
		return &directory.SignedKey{ID: 1, Key: k, Signature: sig}
	}
	truth := func() said { return said{certificate("billing", key, time.Hour), signed(key), signed(key)} }
	for name, c := range map[string]struct {
		lie                  func(s *said)
		whenShown, whenGiven string // part of the error
	}{
		"nothing":         {func(*said) {}, "", ""},
		"another service": {func(s *said) { s.certificate = certificate("shipping", key, time.Hour) }, "has the certificate of shipping in its place", ""},
		"another key":     {func(s *said) { s.certificate = certificate("billing", other, time.Hour) }, "has not signed the signed prekey", ""},
		"another identity": {func(s *said) { *s = said{certificate("billing", other, time.Hour), signed(other), signed(other)} },
			noError, "what is shown without --take has another"},
		"an old one":       {func(s *said) { s.certificate = certificate("billing", key, -time.Minute) }, "not trusted: expired: the certificate of billing", ""},
		"a changed one":    {func(s *said) { s.certificate[20] ^= 1 }, "billing: ", ""},
		"none":             {func(s *said) { s.certificate = nil }, "there is no certificate", ""},
		"a prekey":         {func(s *said) { s.signed = signed(other) }, "has not signed the signed prekey", ""},
		"a changed prekey": {func(s *said) { s.signed.Key[5] ^= 1 }, "has not signed the signed prekey", ""},
		"a KEM key":        {func(s *said) { s.kem = signed(other) }, "has not signed the last-resort key", "has not signed the KEM key"},
		"no KEM key":       {func(s *said) { s.kem = nil }, "there is no last-resort key", "there is no KEM key"},
	} {
		for _, given := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, given: %v", name, given), func(t *testing.T) {
				lie, shows, gives, want := truth(), truth(), truth(), c.whenShown
				c.lie(&lie)
				args := []string{"verify", "billing", "--root", pub}
				if given {
					gives, args, want = lie, append(args, "--take"), cmp.Or(c.whenGiven, c.whenShown)
				} else {
					shows = lie
				}
				at, taken := sayingDirectory(t, shows, gives)
				out, err := sealCommand(t, append(args, at...)...)
				if want == "" || want == noError {
					if err != nil || !strings.Contains(out, "billing") || given != strings.Contains(out, "taken:") {
						t.Errorf("%q, %v", out, err)
					}
				} else if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "billing: ") || out != "" {
					t.Errorf("%q, %v; want %q", out, err, want)
				}
				if n := taken.Load(); n > 0 != given {
					t.Errorf("%d bundles were taken", n)
				}
			})
		}
	}
}

// noError says that a lie cannot be noticed: it is the truth for whoever has the root.
const noError = "none"
