package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/seal/directory"
)

// selfSigned writes a certificate for 127.0.0.1, and its key, and returns it.
func selfSigned(t *testing.T, certFile, keyFile string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestHTTPOverTLS: everything that HTTP has is over TLS; the prekey directory keeps
// what it has over restarts.
func TestHTTPOverTLS(t *testing.T) {
	cfg := testConfig(t)
	dir := t.TempDir()
	cfg.HTTPTLSCert, cfg.HTTPTLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := x509.NewCertPool()
	roots.AddCert(selfSigned(t, cfg.HTTPTLSCert, cfg.HTTPTLSKey, 1))
	n := start(t, cfg)
	defer func() { stop(t, n) }()
	client := func() *directory.Client {
		c, err := directory.NewClient(directory.Config{URL: "https://" + n.HTTPAddr(), User: "guest", Password: "guest", TLS: &tls.Config{RootCAs: roots}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	ctx := t.Context()
	p := directory.Publication{RegistrationID: 1, Certificate: []byte("c"), Signed: &directory.SignedKey{ID: 1, Key: []byte("k"), Signature: []byte("s")}}
	p.OneTime = []directory.Key{{ID: 1, Key: []byte("a")}, {ID: 2, Key: []byte("b")}}
	if _, err := client().Publish(ctx, "orders", p); err != nil {
		t.Fatal(err)
	}
	if _, err := client().Raise(ctx, "orders", map[uint32]uint64{3: 4}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []uint32{1, 2} {
		b, err := client().Take(ctx, "orders")
		if err != nil || b.OneTime == nil || b.OneTime.ID != want {
			t.Fatalf("%+v, %v", b, err)
		}
		stop(t, n)
		n = start(t, cfg)
	}
	if b, err := client().Take(ctx, "orders"); err != nil || b.OneTime != nil {
		t.Errorf("%+v, %v", b, err)
	}
	if marks, err := client().Marks(ctx, "orders"); err != nil || !maps.Equal(marks, map[uint32]uint64{3: 4}) {
		t.Errorf("%v, %v", marks, err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer web.CloseIdleConnections()
	for path, want := range map[string]string{
		"/readyz":  "ready",
		"/metrics": "\nwaxwing_prekey_identities 1\n",
	} {
		resp, err := web.Get("https://" + n.HTTPAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
	if resp, err := http.Get("http://" + n.HTTPAddr() + "/readyz"); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: %s", resp.Status)
		}
	}
}

// TestDirectoryOverPlainHTTP: it answers this machine, once it is ready.
func TestDirectoryOverPlainHTTP(t *testing.T) {
	a := startAdmin(t)
	const path = directory.Path + "orders"
	a.do("GET", path, "", 404)
	a.as("guest", "wrong").do("GET", path, "", 401)
	r, err := http.NewRequest("GET", "http://"+a.n.HTTPAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("guest", "guest")
	r.Header.Set("X-Forwarded-For", "192.0.2.1") // it came through something here
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("from elsewhere: %s", resp.Status)
	}
	a.n.ready.Store(false)
	a.do("GET", path, "", 503)
	a.n.ready.Store(true)
}

// TestCertificateIsReadAgain when its files have changed; one that cannot be read
// changes nothing.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, certFile, keyFile, 1)
	c, err := loadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.SerialNumber.Int64()
	}
	later := time.Now()
	change := func(how func()) {
		t.Helper()
		how()
		later = later.Add(time.Minute) // for file systems whose clock is coarse
		if err := errors.Join(os.Chtimes(certFile, later, later), os.Chtimes(keyFile, later, later)); err != nil {
			t.Fatal(err)
		}
	}
	change(func() { selfSigned(t, certFile, keyFile, 2) })
	if got := serial(); got != 1 {
		t.Errorf("looked at again at once: %d", got)
	}
	look := func() { c.looked = c.looked.Add(-certificateLook) }
	look()
	if got := serial(); got != 2 {
		t.Errorf("certificate %d", got)
	}
	change(func() { os.WriteFile(certFile, []byte("half"), 0o600) })
	look()
	if got := serial(); got != 2 {
		t.Errorf("certificate %d", got)
	}
	change(func() { selfSigned(t, certFile, keyFile, 3) })
	look()
	if got := serial(); got != 3 {
		t.Errorf("certificate %d", got)
	}
	os.Remove(keyFile)
	look()
	if got := serial(); got != 3 {
		t.Errorf("certificate %d", got)
	}
}

func TestTLSSettings(t *testing.T) {
	for _, x := range []struct{ addr, cert, key, setting string }{
		{"127.0.0.1:0", "c", "", "http-tls-key"}, {"127.0.0.1:0", "", "k", "http-tls-cert"}, {"", "c", "k", "http-tls-cert"},
		{"127.0.0.1:0", filepath.Join(t.TempDir(), "none"), "k", "http-tls-cert"},
	} {
		cfg := testConfig(t)
		cfg.Engine = "mem"
		cfg.HTTPAddr, cfg.HTTPTLSCert, cfg.HTTPTLSKey = x.addr, x.cert, x.key
		n, err := Start(context.Background(), cfg)
		if err == nil {
			stop(t, n)
		}
		var bad *ConfigError
		if !errors.As(err, &bad) || bad.Setting != x.setting {
			t.Errorf("%+v: %v", x, err)
		}
	}
}
