// Package sealed tests the example: its programs, each a process of its own, with a
// broker between them.
package sealed

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// card is what nobody but billing may see.
const card = "4111-1111-1111-1111"

// patience is how long anything may take.
const patience = time.Minute

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// keys makes a folder with the keys of the two services, as `waxwing seal init` does.
func keys(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	write := func(name string, line []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), line, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := seal.NewRoot()
	must(t, root, err)
	write("root.pub", root.Public().Encode())
	for _, name := range []string{"orders", "billing"} {
		id, err := seal.NewIdentity(name)
		must(t, id, err)
		cert, err := root.Issue(seal.Certificate{Name: name, Key: id.Key(), Lanes: 4, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 0, 1)})
		must(t, cert, err)
		id, err = id.WithCertificate(cert)
		write(name+".id", must(t, id, err).Encode())
		storage, err := seal.NewStorageKey(1)
		write(name+".key", must(t, storage, err).Encode())
	}
	return folder
}

// A program is a running one.
type program struct {
	t   *testing.T
	cmd *exec.Cmd

	mu  sync.Mutex
	out bytes.Buffer // what it prints, also to stderr
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *program) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// run starts a program, which is killed when the test ends.
func run(t *testing.T, path string, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(path, args...)}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(path), p.printed())
		}
	})
	return p
}

// await waits until it has printed a text.
func (p *program) await(text string) {
	p.t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(p.printed(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("nobody printed %q", text)
		}
	}
}

// interrupt is Ctrl-C, after which it ends well.
func (p *program) interrupt() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatal(err)
	}
}

// TestPrograms: what the sender commits the receiver opens, also after both were started
// anew, and the broker holds only ciphertext.
func TestPrograms(t *testing.T) {
	b := waxtest.Broker(t, waxwing.HTTPAddr("127.0.0.1:0"))
	folder, bin := keys(t), t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./sender", "./receiver")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start := func(name string, args ...string) *program {
		flags := []string{"-folder", folder, "-kafka", b.KafkaAddr(), "-directory", "http://" + b.HTTPAddr()}
		return run(t, filepath.Join(bin, name), append(flags, args...)...)
	}
	for _, order := range []string{"o1", "o2"} {
		receiver := start("receiver")
		receiver.await("billing is ready\n")
		sender := start("sender", order, card)
		receiver.await("order " + order + " is paid by card " + card + ", says orders\n")
		sender.interrupt()
		receiver.interrupt()
	}
	for _, r := range records(t, b.KafkaAddr(), 2) {
		e, err := seal.ParseEnvelope(r.Value)
		if err != nil {
			t.Fatalf("%v: %q", err, r.Value)
		}
		t.Logf("%s: %s of %d bytes", r.Key, e.Kind, len(r.Value))
		all := append(append([]byte(nil), r.Key...), r.Value...)
		for _, h := range r.Headers {
			all = append(append(all, h.Key...), h.Value...)
		}
		if bytes.Contains(all, []byte(card)) {
			t.Errorf("the broker has the card: %q", all)
		}
	}
}

// records are what the broker has.
func records(t *testing.T, address string, n int) (all []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("payments"))
	must(t, client, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}
