package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine"
)

func testConfig(t *testing.T) Config {
	cfg := DefaultConfig()
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	cfg.KafkaAddr, cfg.AMQPAddr, cfg.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.FileBytes = fileBytesMin
	cfg.Version = "test"
	return cfg
}

func start(t *testing.T, cfg Config) *Node {
	t.Helper()
	n, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func stop(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, n *Node, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + n.HTTPAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func produce(t *testing.T, n *Node, value string) *kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(n.KafkaAddr()), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r, err := client.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(value)}).First()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestServeStopServe(t *testing.T) {
	cfg := testConfig(t)
	for i := range 3 {
		n := start(t, cfg)
		if r := produce(t, n, fmt.Sprint(i)); r.Offset != int64(i) {
			t.Fatalf("round %d: offset %d", i, r.Offset)
		}
		stop(t, n)
	}
}

func TestHTTP(t *testing.T) {
	n := start(t, testConfig(t))
	defer stop(t, n)
	produce(t, n, "x")
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(t, n, path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	code, body := get(t, n, "/metrics")
	if code != http.StatusOK {
		t.Fatal(code)
	}
	for _, want := range []string{
		"waxwing_topics 1\n", "waxwing_partitions 1\n", "waxwing_disk_full 0\n", "waxwing_journal_slots_total ",
		`waxwing_kafka_request_seconds_count{api="Produce"} 1`, `waxwing_info{cluster="`, "waxwing_kafka_received_bytes_total ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}

func TestListenersCanBeOff(t *testing.T) {
	cfg := testConfig(t)
	cfg.KafkaAddr, cfg.AMQPAddr, cfg.HTTPAddr = "", "", ""
	n := start(t, cfg)
	defer stop(t, n)
	if n.KafkaAddr() != "" || n.AMQPAddr() != "" || n.HTTPAddr() != "" {
		t.Fatal(n.KafkaAddr(), n.AMQPAddr(), n.HTTPAddr())
	}
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	held := testConfig(t)
	n := start(t, held)
	defer stop(t, n)
	held.KafkaAddr, held.AMQPAddr, held.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := testConfig(t)
	stop(t, start(t, newer))
	if err := os.WriteFile(filepath.Join(newer.DataDir, "FORMAT"), []byte("waxwing folder format 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want string
		is   error
	}{
		"port in use":  {with(testConfig(t), func(c *Config) { c.KafkaAddr = taken.Addr().String() }), "address already in use", nil},
		"folder held":  {held, held.DataDir, engine.ErrHeld},
		"not a folder": {with(testConfig(t), func(c *Config) { c.DataDir = file }), file, nil},
		"newer folder": {newer, newer.DataDir, engine.ErrNewer},
		"small files":  {with(testConfig(t), func(c *Config) { c.FileBytes = 1 << 20 }), "1048576", nil},
		"engine":       {with(testConfig(t), func(c *Config) { c.Engine = "tape" }), "tape", nil},
		"setting": {with(testConfig(t), func(c *Config) { c.BrokerConfig = map[string]string{"no.such": "1"} }),
			"no.such", nil},
		"advertise": {with(testConfig(t), func(c *Config) { c.Advertise = "host:notaport" }), "notaport", nil},
	} {
		n, err := Start(context.Background(), c.cfg)
		if err == nil {
			stop(t, n)
			t.Errorf("%s: started", name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadConfigLeavesNoTrace: what cannot be run with is refused by name, before
// anything is made on the disk.
func TestBadConfigLeavesNoTrace(t *testing.T) {
	for name, c := range map[string]struct {
		setting, text string
		change        func(*Config)
	}{
		"engine":           {"engine", "tape", func(c *Config) { c.Engine = "tape" }},
		"no shards":        {"shards", "not -1", func(c *Config) { c.Shards = -1 }},
		"many shards":      {"shards", "not 65", func(c *Config) { c.Shards = 65 }},
		"small files":      {"file-bytes", "not 1048576", func(c *Config) { c.FileBytes = 1 << 20 }},
		"large files":      {"file-bytes", "not 4294967296", func(c *Config) { c.FileBytes = 4 << 30 }},
		"kafka address":    {"kafka", "nowhere", func(c *Config) { c.KafkaAddr = "nowhere" }},
		"http port":        {"http", "70000", func(c *Config) { c.HTTPAddr = "127.0.0.1:70000" }},
		"advertise":        {"advertise", "notaport", func(c *Config) { c.Advertise = "host:notaport" }},
		"node id":          {"node-id", "-1", func(c *Config) { c.NodeID = -1 }},
		"long cluster id":  {"cluster-id", "22 characters", func(c *Config) { c.ClusterID = strings.Repeat("x", 300) }},
		"odd cluster id":   {"cluster-id", "22 characters", func(c *Config) { c.ClusterID = "a\x00" }},
		"newline in it":    {"cluster-id", "22 characters", func(c *Config) { c.ClusterID = "MkU3OEVBNTcwNTJENDM2Q\n" }},
		"bits too many":    {"cluster-id", "near to it is MkU3OEVBNTcwNTJENDM2Qg", func(c *Config) { c.ClusterID = "MkU3OEVBNTcwNTJENDM2Qk" }},
		"zero cluster id":  {"cluster-id", "zeros", func(c *Config) { c.ClusterID = strings.Repeat("A", 22) }},
		"partitions":       {"default-partitions", "at least 1", func(c *Config) { c.DefaultPartitions = 0 }},
		"many partitions":  {"default-partitions", "at most 100000", func(c *Config) { c.DefaultPartitions = 100_001 }},
		"hidden by config": {"default-partitions", "at least 1", func(c *Config) { c.DefaultPartitions = 0; c.BrokerConfig = map[string]string{"num.partitions": "1"} }},
		"retention check":  {"retention-check", "at least 1", func(c *Config) { c.RetentionCheck = time.Microsecond }},
		"unknown setting":  {"broker-config", "no.such", func(c *Config) { c.BrokerConfig = map[string]string{"no.such": "1"} }},
		"bad setting":      {"broker-config", "week", func(c *Config) { c.BrokerConfig = map[string]string{"log.retention.hours": "week"} }},
		"two settings":     {"broker-config", "above", func(c *Config) { c.BrokerConfig = map[string]string{"group.max.session.timeout.ms": "5"} }},
	} {
		cfg := with(testConfig(t), c.change)
		n, err := Start(context.Background(), cfg)
		if err == nil {
			stop(t, n)
			t.Errorf("%s: started", name)
			continue
		}
		var bad *ConfigError
		if !errors.As(err, &bad) || bad.Setting != c.setting || !strings.Contains(bad.Text, c.text) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(cfg.DataDir); !os.IsNotExist(err) {
			t.Errorf("%s: the data folder was made", name)
		}
	}
}

// TestShardsAreRemembered: their number need not be said again, and another
// one is refused.
func TestShardsAreRemembered(t *testing.T) {
	cfg := testConfig(t)
	for i, shards := range []int{3, 0, 3} {
		cfg.Shards = shards
		n := start(t, cfg)
		if r := produce(t, n, "x"); r.Offset != int64(i) || n.cfg.Shards != 3 {
			t.Fatalf("round %d: offset %d, %d shards", i, r.Offset, n.cfg.Shards)
		}
		stop(t, n)
	}
	for _, shards := range []int{1, 4} {
		cfg.Shards = shards
		if n, err := Start(context.Background(), cfg); err == nil {
			stop(t, n)
			t.Fatalf("started with %d shards", shards)
		}
	}
	cfg.Shards = 0
	stop(t, start(t, cfg)) // the refused ones have left nothing
}

// TestClusterID: a new folder gets the id that is given, and keeps it; another
// one is refused by name and changes nothing.
func TestClusterID(t *testing.T) {
	const first, second = "MkU3OEVBNTcwNTJENDM2Qg", "AAAAAAAAAAAAAAAAAAAAAQ"
	for _, shards := range []int{1, 3} {
		cfg := testConfig(t)
		cfg.Shards = shards
		for round, given := range []string{first, "", first, second, ""} {
			cfg.ClusterID = given
			n, err := Start(context.Background(), cfg)
			if given == second {
				var bad *ConfigError
				if !errors.As(err, &bad) || bad.Setting != "cluster-id" || !strings.Contains(bad.Text, first) || !strings.Contains(bad.Text, cfg.DataDir) {
					t.Errorf("another id: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			produce(t, n, "x")
			resp, err := client(t, n).SeedBrokers()[0].Request(t.Context(), kmsg.NewPtrDescribeClusterRequest())
			if err != nil {
				t.Fatal(err)
			}
			if id := resp.(*kmsg.DescribeClusterResponse).ClusterID; id != first {
				t.Errorf("round %d: clients are told %s", round, id)
			}
			stop(t, n)
		}
	}
	made := start(t, testConfig(t))
	defer stop(t, made)
	if _, err := broker.ParseClusterID(made.broker.ClusterID()); err != nil {
		t.Errorf("the id that is made: %v", err)
	}
}

// TestForeignFolder: a folder that holds something else is left alone; what a
// mount or a first start that was cut short leaves does no harm.
func TestForeignFolder(t *testing.T) {
	for name, refused := range map[string]bool{"letters": true, "lost+found": false, "LOCK": false, "FORMAT.tmp": false} {
		cfg := testConfig(t)
		cfg.DataDir = t.TempDir()
		if err := os.WriteFile(filepath.Join(cfg.DataDir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := Start(context.Background(), cfg)
		if err == nil {
			stop(t, n)
		}
		var bad *ConfigError
		if refused != (err != nil) || refused && (!errors.As(err, &bad) || bad.Setting != "data" || !strings.Contains(bad.Text, name)) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(cfg.DataDir, "FORMAT")); refused != os.IsNotExist(err) {
			t.Errorf("%s: FORMAT: %v", name, err)
		}
	}
}

// TestStoredSettingsAreTold: what a client has stored holds over what was given
// at start, and the log says so.
func TestStoredSettingsAreTold(t *testing.T) {
	cfg := testConfig(t)
	n := start(t, cfg)
	if err := n.broker.ConfigureBroker(t.Context(), map[string]string{"log.retention.ms": "5000", "message.max.bytes": "9000"}); err != nil {
		t.Fatal(err)
	}
	stop(t, n)
	var log strings.Builder
	cfg.BrokerConfig = map[string]string{"log.retention.ms": "7000"}
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	stop(t, start(t, cfg))
	for _, want := range []string{
		`level=WARN msg="a stored setting holds instead of the given one" setting=log.retention.ms stored=5000 given=7000`,
		`level=INFO msg="a stored setting holds" setting=message.max.bytes stored=9000`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &log)
		}
	}
}

func with(c Config, change func(*Config)) Config {
	change(&c)
	return c
}

func TestAdvertised(t *testing.T) {
	bound := &net.TCPAddr{IP: net.IPv4zero, Port: 9092}
	for _, c := range []struct {
		advertise, host string
		port            int32
	}{
		{"", "localhost", 9092}, {"broker.example", "broker.example", 9092}, {"broker.example:19092", "broker.example", 19092},
		{"10.1.2.3", "10.1.2.3", 9092}, {"[::1]:99", "::1", 99}, {"::1", "::1", 9092},
	} {
		cfg := Config{Advertise: c.advertise}
		host, port, err := cfg.advertised(bound)
		if err != nil || host != c.host || port != c.port {
			t.Errorf("%q: %s %d, %v", c.advertise, host, port, err)
		}
	}
}

// freeAddr is an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
