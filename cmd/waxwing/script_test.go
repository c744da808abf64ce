package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/waxwing-mq/waxwing/internal/node"
)

// TestMain lets the scripts run this very binary as the command waxwing.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"waxwing": main})
}

// startBroker starts a broker for one test and returns its address and a
// function that stops it before the test's end.
func startBroker(t *testing.T) (addr string, stop func()) {
	t.Helper()
	n, stop := startNode(t)
	return n.KafkaAddr(), stop
}

// startNode is startBroker for who needs more than Kafka's address.
func startNode(t *testing.T) (n *node.Node, stop func()) {
	t.Helper()
	cfg := node.DefaultConfig()
	cfg.Engine, cfg.FileBytes = "mem", 16<<20
	cfg.KafkaAddr, cfg.AMQPAddr, cfg.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.InitialRebalanceDelay = 0
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

// TestScripts runs every script in testdata/script against a broker of its own.
// The scripts find it by WAXWING_BOOTSTRAP, WAXWING_AMQP_URL and
// WAXWING_HTTP_URL. SILENT is the address of a listener
// that never answers, CLOSING of one that closes every connection, REDIRECTING of one
// that sends HTTP elsewhere, and NOBODY one where nothing listens.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts found: %v", err)
	}
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, stop := startNode(t)
			silent, closing, nobody := listenBadly(t)
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				Setup: func(e *testscript.Env) error {
					e.Setenv("WAXWING_BOOTSTRAP", n.KafkaAddr())
					e.Setenv("WAXWING_AMQP_URL", "amqp://guest:guest@"+n.AMQPAddr()+"/")
					e.Setenv("WAXWING_HTTP_URL", "http://"+n.HTTPAddr())
					e.Setenv("SILENT", silent)
					e.Setenv("CLOSING", closing)
					e.Setenv("NOBODY", nobody)
					e.Setenv("REDIRECTING", redirecting(t))
					// The race detector waits a second at each exit.
					e.Setenv("GORACE", "atexit_sleep_ms=0")
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"json":            checkJSON,
					"exit-code":       exitCode,
					"stop-broker":     func(*testscript.TestScript, bool, []string) { stop() },
					"fill":            fillFile,
					"spoil":           spoilFile,
					"port-env":        portEnv,
					"http-get":        httpGet,
					"wait-for-group":  waitForGroup,
					"wait-for-topics": waitForTopics,
					"wait-for-queue":  waitForQueue,
					"refusing-broker": refusingBroker,
					"as":              asUser,
					"self-signed":     selfSigned,
					"dead-letters":    deadLetters,
					"sagas":           sagasCommand,
					"private":         privateFile,
					"seal-message":    sealMessage,
					"open-message":    openMessage,
					"store-identity":  storeIdentity,
					"recode":          recodeFile,
					"same-value":      sameValue,
					"above":           aboveValue,
				},
			})
		})
	}
}

// asUser has the commands log in as a user, in a vhost: as USER PASSWORD VHOST.
func asUser(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: as USER PASSWORD VHOST")
	}
	u, err := url.Parse(ts.Getenv("WAXWING_AMQP_URL"))
	ts.Check(err)
	u.User, u.Path = url.UserPassword(args[0], args[1]), "/"+args[2]
	ts.Setenv("WAXWING_AMQP_URL", u.String())
}

// selfSigned writes a certificate for 127.0.0.1 and its key: self-signed CERT KEY.
func selfSigned(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: self-signed CERT KEY")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// redirecting returns the address of an HTTP server that sends everybody elsewhere,
// where GET is answered.
func redirecting(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://example.org/elsewhere", http.StatusMovedPermanently)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// listenBadly returns the addresses of listeners that are no brokers.
func listenBadly(t *testing.T) (silent, closing, nobody string) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	quiet, shut, gone := listen(), listen(), listen()
	go func() {
		for {
			c, err := shut.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	gone.Close()
	return quiet.Addr().String(), shut.Addr().String(), gone.Addr().String()
}

// checkJSON compares a value inside a JSON document with what is expected:
//
//	json stdout produce.records == 2000
//	json stdout 0.name == orders
//	json stdout produce.latency.p99Ms > 0
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: json FILE PATH ==|<|> VALUE")
	}
	doc := jsonValue(ts, args[0], args[1])
	if !compare(ts, doc, args[2], args[3]) {
		ts.Fatalf("%s is %v; want %s %s", args[1], doc, args[2], args[3])
	}
}

// jsonValue is the value at a path of a JSON document.
func jsonValue(ts *testscript.TestScript, file, path string) any {
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &doc))
	for step := range strings.SplitSeq(path, ".") {
		switch at := doc.(type) {
		case map[string]any:
			value, ok := at[step]
			if !ok {
				ts.Fatalf("%s: there is no %q", path, step)
			}
			doc = value
		case []any:
			if step == "length" {
				doc = float64(len(at))
				continue
			}
			i, err := strconv.Atoi(step)
			ts.Check(err)
			if i >= len(at) {
				ts.Fatalf("%s: only %d elements", path, len(at))
			}
			doc = at[i]
		default:
			ts.Fatalf("%s: %v has no %q", path, doc, step)
		}
	}
	return doc
}

// compare applies one of the operators; < and > need numbers.
func compare(ts *testscript.TestScript, got any, op, want string) bool {
	number, isNumber := got.(float64)
	wanted, err := strconv.ParseFloat(want, 64)
	switch {
	case op == "==" && isNumber && err == nil:
		return number == wanted
	case op == "==":
		return fmt.Sprint(got) == want
	case !isNumber || err != nil:
		ts.Fatalf("%v %s %s: not numbers", got, op, want)
	case op == "<":
		return number < wanted
	case op == ">":
		return number > wanted
	}
	ts.Fatalf("unknown operator %q", op)
	return false
}

// exitCode runs the command waxwing and compares how it ends: exit-code N ARG ...
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit-code N ARG ...")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec("waxwing", args[1:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// fillFile writes FILE with the lines 1 … N, or with SIZE times the letter x
// and no newline: fill FILE lines|bytes N.
func fillFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: fill FILE lines|bytes N")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	var text strings.Builder
	if args[1] == "bytes" {
		text.WriteString(strings.Repeat("x", n))
	} else {
		for i := range n {
			fmt.Fprintln(&text, i+1)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text.String()), 0o644))
}

// spoilFile puts a control character where FILE has an @: spoil FILE.
func spoilFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: spoil FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "@", "\x01")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// portEnv waits for a file that serve --port-file writes and puts its addresses
// into KAFKA, HTTP and PPROF: port-env FILE.
func portEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port-env FILE")
	}
	path := ts.MkAbs(args[0])
	waitFor(ts, "the port file", func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
	var addrs listenAddrs
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &addrs))
	ts.Setenv("KAFKA", addrs.Kafka)
	ts.Setenv("HTTP", addrs.HTTP)
	ts.Setenv("PPROF", addrs.Pprof)
}

// waitFor polls until done, for a minute at most.
func waitFor(ts *testscript.TestScript, what string, done func() bool) {
	for end := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(end) {
			ts.Fatalf("waited a minute for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// httpGet asks for a page and compares the status: http-get URL STATUS.
func httpGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: http-get URL STATUS")
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(args[0])
	ts.Check(err)
	answer.Body.Close()
	if got := strconv.Itoa(answer.StatusCode); got != args[1] {
		ts.Fatalf("%s: status %s, want %s", args[0], got, args[1])
	}
}

// withBroker opens a session with the script's broker.
func withBroker(ts *testscript.TestScript, fn func(context.Context, *session)) {
	conn := connection{bootstrap: []string{ts.Getenv("WAXWING_BOOTSTRAP")}, timeout: 10 * time.Second}
	s, err := conn.open(context.Background())
	ts.Check(err)
	defer s.close()
	ctx, cancel := s.limited(context.Background())
	defer cancel()
	fn(ctx, s)
}

// waitForGroup waits until a group is stable and has committed everything that
// its topics hold: wait-for-group GROUP.
func waitForGroup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: wait-for-group GROUP")
	}
	withBroker(ts, func(ctx context.Context, s *session) {
		waitFor(ts, "the group", func() bool {
			g, err := findGroup(ctx, s, args[0])
			return err == nil && g != nil && g.State == "Stable" && len(g.Members) > 0 && len(g.Members[0].Assigned) > 0
		})
	})
}

// waitForTopics waits until the broker has so many topics: wait-for-topics N.
func waitForTopics(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: wait-for-topics N")
	}
	withBroker(ts, func(ctx context.Context, s *session) {
		waitFor(ts, "the topics", func() bool {
			topics, err := listTopics(ctx, s, false)
			return err == nil && fmt.Sprint(len(topics)) == args[0]
		})
	})
}

// waitForQueue waits until a queue has so many messages or consumers, at least:
// wait-for-queue QUEUE messages|consumers N.
func waitForQueue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: wait-for-queue QUEUE messages|consumers N")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	conn := amqpConnection{url: ts.Getenv("WAXWING_AMQP_URL"), timeout: 10 * time.Second}
	s, err := conn.open(context.Background())
	ts.Check(err)
	defer s.close()
	waitFor(ts, args[1], func() bool {
		q, err := s.ch.QueueDeclarePassive(args[0], false, false, false, false, nil)
		ts.Check(err)
		if args[1] == "consumers" {
			return q.Consumers >= n
		}
		return q.Messages >= n
	})
}
