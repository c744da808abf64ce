package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/kafka"
	"github.com/waxwing-mq/waxwing/internal/listen"
	"github.com/waxwing-mq/waxwing/internal/settings"
)

// Node is a running Waxwing process.
type Node struct {
	cfg    Config
	engine engine.Engine
	broker *broker.Broker
	kafka  *kafka.Server
	amqp   *amqp.Server
	admin  sync.Mutex // of who changes vhosts, users or permissions

	kafkaLn     net.Listener
	amqpLn      net.Listener
	httpLn      net.Listener
	web         *http.Server
	ready       atomic.Bool
	metrics     kafkaMetrics
	amqpMetrics amqpMetrics

	advertised string // host:port that Kafka clients are told

	accepting   context.Context // done when nothing more is accepted
	stopServing context.CancelFunc
	serving     sync.WaitGroup
	done        chan struct{}
	once        sync.Once
	err         error
}

// Start opens the data, recovers it, and serves. On an error nothing is left
// running; a Config that does not pass Validate leaves nothing on the disk
// either. Ports are bound before recovery, so that a taken port is told at
// once; connections are accepted after it.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	began := time.Now()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, done: make(chan struct{})}
	n.accepting, n.stopServing = context.WithCancel(context.Background())
	steps := []func(context.Context) error{n.bind, n.openEngine, n.openBroker, n.serveKafka, n.serveAMQP}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			n.release()
			return nil, err
		}
	}
	n.ready.Store(true)
	st := n.broker.Stats()
	cfg.Logger.Info("ready", "took", time.Since(began).Round(time.Millisecond).String(), "topics", st.Topics, "partitions", st.Partitions,
		"cluster", n.broker.ClusterID())
	go n.watch()
	return n, nil
}

// bind takes the ports. HTTP answers from here on, so that /readyz can say
// that recovery is under way.
func (n *Node) bind(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if n.cfg.KafkaAddr != "" {
		if n.kafkaLn, err = lc.Listen(ctx, "tcp", n.cfg.KafkaAddr); err != nil {
			return bad("kafka", "%v", err)
		}
	}
	if n.cfg.AMQPAddr != "" {
		if n.amqpLn, err = lc.Listen(ctx, "tcp", n.cfg.AMQPAddr); err != nil {
			return bad("amqp", "%v", err)
		}
	}
	if n.cfg.HTTPAddr != "" {
		if n.httpLn, err = lc.Listen(ctx, "tcp", n.cfg.HTTPAddr); err != nil {
			return bad("http", "%v", err)
		}
		if n.cfg.HTTPTLSCert != "" {
			cert, err := loadCertificate(n.cfg.HTTPTLSCert, n.cfg.HTTPTLSKey, n.cfg.Logger)
			if err != nil {
				return bad("http-tls-cert", "%v", err)
			}
			n.httpLn = tls.NewListener(n.httpLn, cert.config())
		}
		n.serveHTTP()
	}
	return nil
}

func (n *Node) openEngine(context.Context) error {
	var eng *disk.Engine
	var err error
	if n.cfg.Engine == "disk" {
		if err = n.cfg.checkFolder(); err != nil {
			return err
		}
	}
	switch {
	case n.cfg.fs != nil:
		eng, err = disk.Open(disk.Options{Dir: n.cfg.DataDir, FS: n.cfg.fs, FileBytes: n.cfg.FileBytes, Synchronous: true})
	case n.cfg.Engine == "mem":
		eng, err = mem.New(mem.Options{FileBytes: n.cfg.FileBytes}).Engine()
	default:
		eng, err = disk.Open(disk.Options{
			Dir: n.cfg.DataDir, FileBytes: n.cfg.FileBytes,
			Logf: func(format string, args ...any) { n.cfg.Logger.Warn(fmt.Sprintf(format, args...)) },
		})
	}
	if err != nil {
		return err
	}
	n.engine = eng
	if n.cfg.Shards == 0 {
		n.cfg.Shards, err = n.storedShards()
	}
	return err
}

// storedShards is how many shards the data has, or 1 for new data. Their number
// is decided when the first of them is founded, and all are made at once.
func (n *Node) storedShards() (int, error) {
	if n.cfg.Engine == "mem" {
		return 1, nil
	}
	entries, err := os.ReadDir(n.cfg.DataDir)
	if err != nil {
		return 0, err
	}
	shards := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "shard-") {
			shards++
		}
	}
	return max(1, shards), nil
}

func (n *Node) openBroker(ctx context.Context) (err error) {
	n.broker, err = broker.Open(ctx, broker.Config{
		Engine: n.engine, Shards: n.cfg.Shards, ClusterID: n.cfg.ClusterID,
		Logger: n.cfg.Logger, Settings: n.cfg.settings(),
	})
	var other *broker.OtherClusterError
	if errors.As(err, &other) {
		return bad("cluster-id", "the folder %s has the id %s and keeps it; %s is for a new folder", n.cfg.DataDir, other.Stored, other.Given)
	}
	if err == nil {
		n.logOverrides()
	}
	return err
}

// logOverrides tells which settings hold because a client has stored them, and
// which given ones they hide.
func (n *Node) logOverrides() {
	given, stored := n.cfg.settings(), n.broker.SettingOverrides()
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		if value, ok := given[name]; ok && value != stored[name] && value != settings.BrokerDefinition(name).Default {
			n.cfg.Logger.Warn("a stored setting holds instead of the given one", "setting", name, "stored", stored[name], "given", value)
			continue
		}
		n.cfg.Logger.Info("a stored setting holds", "setting", name, "stored", stored[name])
	}
}

func (n *Node) serveKafka(context.Context) error {
	if n.kafkaLn == nil {
		return nil
	}
	host, port, err := n.cfg.advertised(n.kafkaLn.Addr())
	if err != nil {
		return err
	}
	n.advertised = net.JoinHostPort(host, strconv.Itoa(int(port)))
	if ip := n.kafkaLn.Addr().(*net.TCPAddr).IP; ip.IsUnspecified() && n.cfg.Advertise == "" {
		n.cfg.Logger.Warn("listening on all addresses, but clients are told to connect to localhost; say with --advertise where others reach this broker")
	}
	n.kafka = kafka.New(kafka.Config{
		Broker: n.broker, NodeID: n.cfg.NodeID, Logger: n.cfg.Logger,
		Advertised: func() (string, int32) { return host, port },
		LogDir:     n.cfg.DataDir, Disk: n.diskSpace,
		Metrics: n.metrics.hooks(),
	})
	n.serve("kafka", n.kafkaLn, n.kafka.ServeConn)
	return nil
}

func (n *Node) serveAMQP(context.Context) error {
	n.amqp = amqp.New(amqp.Config{
		Broker: n.broker, Profile: amqp.Profile(n.cfg.AMQPProfile), Version: n.cfg.Version, Logger: n.cfg.Logger,
		ClusterName: n.broker.ClusterID(),
		MemoryShort: amqp.MemoryAlarm(memoryLimit()), Metrics: n.amqpMetrics.hooks(),
	})
	n.broker.SetProtocol(n.amqp)
	if n.amqpLn != nil {
		n.serve("amqp", n.amqpLn, n.amqp.ServeConn)
	}
	return nil
}

// serve accepts connections until release.
func (n *Node) serve(what string, ln net.Listener, handle func(context.Context, net.Conn)) {
	limits := listen.Limits{
		ConnectionsMax: n.broker.Settings().ConnectionsMax, ConnectionsNow: func() int { return n.broker.Settings().ConnectionsMax },
		FilesKept: 256*n.cfg.Shards + 256, Logger: n.cfg.Logger,
	}
	n.serving.Add(1)
	go func() {
		defer n.serving.Done()
		err := listen.Serve(n.accepting, ln, limits, handle)
		if err != nil && n.accepting.Err() == nil {
			n.fail(fmt.Errorf("%s listener: %w", what, err))
		}
	}()
}

// watch turns a failure of the log into the node's end.
func (n *Node) watch() {
	select {
	case <-n.broker.Failed():
		n.fail(n.broker.Err())
	case <-n.done:
	}
}

func (n *Node) fail(err error) {
	n.once.Do(func() {
		n.err = err
		close(n.done)
	})
}

// KafkaAddr is the bound address for Kafka clients, "" when off.
func (n *Node) KafkaAddr() string { return addr(n.kafkaLn) }

// AdvertisedAddr is the host:port that Kafka clients are told to connect to, ""
// when off.
func (n *Node) AdvertisedAddr() string { return n.advertised }

// AMQPAddr is the bound address for AMQP clients, "" when off.
func (n *Node) AMQPAddr() string { return addr(n.amqpLn) }

// HTTPAddr is the bound address for health and metrics, "" when off.
func (n *Node) HTTPAddr() string { return addr(n.httpLn) }

func addr(ln net.Listener) string {
	if ln == nil {
		return ""
	}
	return ln.Addr().String()
}

// Done is closed when the node has stopped by itself (a failed sync, say):
// the process should exit. Err says why.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err is why Done was closed.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// Shutdown stops accepting, lets requests under way finish until ctx ends,
// makes everything durable, and lets go of the data.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ready.Store(false)
	if n.kafka != nil {
		n.kafka.Drain(ctx)
	}
	if n.amqp != nil {
		n.amqp.Drain(ctx)
	}
	return n.release()
}

// release closes what is open, in the reverse order of Start.
func (n *Node) release() error {
	var errs []error
	n.stopServing()
	for _, ln := range []net.Listener{n.kafkaLn, n.amqpLn} {
		if ln != nil {
			ln.Close()
		}
	}
	n.serving.Wait()
	if n.broker != nil {
		errs = append(errs, n.broker.Close())
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close())
	}
	if n.web != nil {
		n.web.Close()
	}
	n.fail(nil)
	return errors.Join(errs...)
}
