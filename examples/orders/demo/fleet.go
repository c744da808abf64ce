package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/examples/orders/service"
)

// serviceNames are the four services.
var serviceNames = []string{"order", "payment", "inventory", "shipping"}

// A fleet is the broker and the services, each a process.
type fleet struct {
	dir    string
	dsn    map[string]string
	seed   uint64
	chaos  bool
	broken string // safeguard
	groups string // what names of consumer groups end with
	keys   map[string]*keyLines

	mu       sync.Mutex
	broker   *process
	ports    ports
	services map[string]*process
	all      []*process // that were started and may run
	nth      map[string]int
	skipped  map[string]int // duplicates, by process
}

// ports are the addresses that the broker listens on.
type ports struct {
	Kafka string `json:"kafka"`
	AMQP  string `json:"amqp"`
	HTTP  string `json:"http"`
}

func newFleet(dir string, dsn map[string]string, keys map[string]*keyLines, cfg Config) *fleet {
	return &fleet{keys: keys, dir: dir, dsn: dsn, seed: cfg.Seed, chaos: cfg.Chaos, broken: cfg.Break,
		services: map[string]*process{}, nth: map[string]int{}, skipped: map[string]int{}}
}

// startBroker starts the broker on free ports, or again on those that it had.
func (f *fleet) startBroker(ctx context.Context) error {
	file := filepath.Join(f.dir, "broker.ports")
	_ = os.Remove(file)
	want := f.ports
	if want.Kafka == "" {
		want = ports{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}
	}
	// The services' sessions are shorter than what brokers allow by default: nobody wants
	// to wait here for the partitions of a dead consumer.
	p, out, err := spawn(f.dir, f.next("broker"), nil, "serve", "--data", filepath.Join(f.dir, "broker"),
		"--kafka", want.Kafka, "--amqp", want.AMQP, "--http", want.HTTP, "--port-file", file, "--file-bytes", "16MiB",
		"--default-partitions", "4", "--broker-config", "group.min.session.timeout.ms=500")
	if err != nil {
		return err
	}
	f.add(p)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if err := f.awaitBroker(ctx, p, file); err != nil {
		return err
	}
	f.mu.Lock()
	f.broker = p
	f.mu.Unlock()
	return nil
}

// awaitBroker waits until the broker has said where it listens, and listens there.
func (f *fleet) awaitBroker(ctx context.Context, p *process, file string) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		select {
		case <-p.dead:
			return fmt.Errorf("the broker ended at once:\n%s", tail(p.log))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &f.ports) != nil {
			continue
		}
		if c, err := net.DialTimeout("tcp", f.ports.Kafka, time.Second); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("the broker did not come up:\n%s", tail(p.log))
}

// startService starts a process of a service, beside those that there are.
func (f *fleet) startService(ctx context.Context, name string) (*process, error) {
	c := child{Service: name, Name: f.next(name), DSN: f.dsn[name], Kafka: f.ports.Kafka,
		AMQP: "amqp://guest:guest@" + f.ports.AMQP + "/", HTTP: "http://" + f.ports.HTTP, Keys: f.keys[name], Groups: f.groups, Seed: f.seed, Break: f.broken}
	c.Sent = filepath.Join(f.dir, strings.ReplaceAll(c.Name, "/", "-")+".sent")
	if f.chaos {
		c.Faults = filepath.Join(f.dir, "faults")
	}
	first, err := json.Marshal(&c)
	if err != nil {
		return nil, err
	}
	p, out, err := spawn(f.dir, c.Name, append(first, '\n'), ServiceCommand)
	if err != nil {
		return nil, err
	}
	f.add(p)
	go p.listen(out)
	if p.front, err = p.await(ctx, startTimeout); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.services[name] = p
	f.mu.Unlock()
	return p, nil
}

// startServices starts all four at once.
func (f *fleet) startServices(ctx context.Context) error {
	errs := make(chan error)
	for _, name := range serviceNames {
		go func() { _, err := f.startService(ctx, name); errs <- err }()
	}
	var all []error
	for range serviceNames {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// stopServices asks all four to end.
func (f *fleet) stopServices() error {
	errs := make(chan error)
	for _, name := range serviceNames {
		go func() { errs <- f.service(name).stop(15 * time.Second) }()
	}
	var all []error
	for range serviceNames {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// service is the process that a service is now.
func (f *fleet) service(name string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.services[name]
}

// next is a name for the next process of its kind.
func (f *fleet) next(kind string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nth[kind]++
	return fmt.Sprintf("%s/%d", kind, f.nth[kind])
}

func (f *fleet) add(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, p)
}

// killAll leaves nothing running.
func (f *fleet) killAll() {
	f.mu.Lock()
	all := f.all
	f.mu.Unlock()
	for _, p := range all {
		p.kill()
	}
}

// tails are the ends of the logs of what ran last.
func (f *fleet) tails() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := map[string]*process{}
	for _, p := range f.all {
		kind, _, _ := strings.Cut(p.name, "/")
		last[kind] = p
	}
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(last)) {
		fmt.Fprintf(&b, "\n--- %s\n%s", last[kind].name, tail(last[kind].log))
	}
	return b.String()
}

// askTimeout is how long a service may take to say how it is.
const askTimeout = 2 * time.Second

// status asks a service, and keeps how many duplicates its process has met.
func (f *fleet) status(ctx context.Context, name string) (s service.Status, err error) {
	p := f.service(name)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := getJSON(ctx, "http://"+p.front+"/status", &s); err != nil {
		return s, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skipped[p.name] = max(f.skipped[p.name], s.Duplicates)
	return s, nil
}

// duplicates is how many messages were skipped, as far as the processes could say so
// before they died.
func (f *fleet) duplicates() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.skipped {
		n += k
	}
	return n
}

// queued is how many messages are in the broker's queues.
func (f *fleet) queued(ctx context.Context) (n int, err error) {
	var queues []struct {
		Name     string `json:"name"`
		Messages int    `json:"messages"`
		Type     string `json:"type"`
	}
	if err := getJSON(ctx, "http://guest:guest@"+f.ports.HTTP+"/api/queues", &queues); err != nil {
		return 0, err
	}
	for _, q := range queues {
		if q.Type != "stream" { // topics are in the list, too
			n += q.Messages
		}
	}
	return n, nil
}

// getJSON asks over HTTP.
func getJSON(ctx context.Context, url string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}
