package listen

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// start serves on loopback. stop begins the stop; done gets what Serve returned.
func start(t *testing.T, limits Limits, handle func(context.Context, net.Conn)) (addr string, stop func(), done <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, ln, limits, handle) }()
	return ln.Addr().String(), cancel, result
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func echo(_ context.Context, c net.Conn) { io.Copy(c, c) }

func roundTrip(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, []byte("ping")) {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestTheConnectionAboveTheLimitIsClosed(t *testing.T) {
	addr, stop, done := start(t, Limits{ConnectionsMax: 2}, echo)
	a, b := dial(t, addr), dial(t, addr)
	roundTrip(t, a)
	roundTrip(t, b)
	c := dial(t, addr)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the third connection was not closed: %d, %v", n, err)
	}
	roundTrip(t, a)

	// One leaves, so there is room for another.
	b.Close()
	deadline := time.Now().Add(10 * time.Second)
	for {
		d := dial(t, addr)
		d.Write([]byte("x"))
		n, _ := d.Read(make([]byte, 1))
		d.Close()
		if n == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no room after a connection closed")
		}
	}
	a.Close()
	stop()
	<-done
}

// TestTheLimitMayChange: more are let in at once; with fewer, those that are
// open stay.
func TestTheLimitMayChange(t *testing.T) {
	var most atomic.Int64
	most.Store(1)
	addr, stop, done := start(t, Limits{ConnectionsMax: 1, ConnectionsNow: func() int { return int(most.Load()) }}, echo)
	first := dial(t, addr)
	roundTrip(t, first)
	refused := func() {
		t.Helper()
		if _, err := dial(t, addr).Read(make([]byte, 1)); err == nil {
			t.Error("a connection above the limit was served")
		}
	}
	refused()
	most.Store(2)
	second := dial(t, addr)
	roundTrip(t, second)
	refused()
	most.Store(1)
	refused()
	roundTrip(t, first)
	roundTrip(t, second)
	first.Close()
	second.Close()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStopLetsHandlersFinish(t *testing.T) {
	begun := make(chan struct{})
	addr, stop, done := start(t, Limits{Drain: time.Minute}, func(ctx context.Context, c net.Conn) {
		close(begun)
		<-ctx.Done()
		c.Write([]byte("bye"))
	})
	c := dial(t, addr)
	<-begun
	stop()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "bye" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("still accepts after the stop")
	}
}

func TestHandlersThatDoNotFinishLoseTheirConnection(t *testing.T) {
	begun := make(chan struct{})
	var ended atomic.Bool
	addr, stop, done := start(t, Limits{Drain: 10 * time.Millisecond}, func(_ context.Context, c net.Conn) {
		close(begun)
		io.Copy(io.Discard, c) // deaf to the context
		ended.Store(true)
	})
	dial(t, addr)
	<-begun
	stop()
	if err := <-done; err != nil || !ended.Load() {
		t.Errorf("Serve returned %v; handler ended: %v", err, ended.Load())
	}
}

// scripted is a listener whose Accept returns what the test says.
type scripted struct {
	net.Listener
	results chan error
}

func (s *scripted) Accept() (net.Conn, error) {
	if err := <-s.results; err != nil {
		return nil, err
	}
	return s.Listener.Accept()
}

func TestAcceptGoesOnAfterAPassingErrorAndEndsAfterALastingOne(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{ln, make(chan error, 4)}
	s.results <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
	s.results <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
	s.results <- nil
	lasting := errors.New("the interface is gone")
	done := make(chan error, 1)
	go func() { done <- Serve(context.Background(), s, Limits{}, echo) }()
	c := dial(t, ln.Addr().String())
	roundTrip(t, c)
	c.Close()
	s.results <- lasting
	if err := <-done; !errors.Is(err, lasting) {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	addr, stop, done := start(t, Limits{TLS: config, HandshakeMax: 50 * time.Millisecond}, echo)

	silent := dial(t, addr)
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that never shakes hands stays open")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	c := tls.Client(dial(t, addr), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	roundTrip(t, c)
	c.Close()
	stop()
	<-done
}

// TestFilesAreKept: connections leave file descriptors for others.
func TestFilesAreKept(t *testing.T) {
	files := filesMax()
	if files < 100 {
		t.Fatalf("the process may open %d files", files)
	}
	for _, c := range []struct{ max, kept, want int }{
		{10, 0, 10},
		{10, files - 10, 10},
		{10, files - 9, 9},
		{0, files - 7, 7},
		{10, files, 1},
		{10, 2 * files, 1},
	} {
		if got := (Limits{ConnectionsMax: c.max, FilesKept: c.kept}).withDefaults().ConnectionsMax; got != c.want {
			t.Errorf("%d connections, %d files kept of %d: %d connections, want %d", c.max, c.kept, files, got, c.want)
		}
	}

	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	addr, stop, done := start(t, Limits{ConnectionsMax: 10, FilesKept: files - 2, Logger: logger, Drain: 10 * time.Millisecond}, echo)
	roundTrip(t, dial(t, addr))
	roundTrip(t, dial(t, addr))
	if _, err := io.ReadFull(dial(t, addr), make([]byte, 1)); err == nil {
		t.Error("a third connection was let in")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !bytes.Contains(log.Bytes(), []byte("fewer connections than configured")) {
		t.Errorf("not logged: %s", &log)
	}
}
