package main

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
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/waxwing-mq/waxwing/internal/node"
)

// serve holds the flags of `waxwing serve`.
type serve struct {
	cfg        node.Config
	configFile string
	showConfig bool
	engine     *enumValue
	profile    *enumValue
	fileBytes  sizeValue
	broker     pairsValue
	jsonLog    bool
	logLevel   *enumValue
	portFile   string
	pprof      string
	drain      time.Duration
}

func newServeCommand() *cobra.Command {
	s := serve{
		cfg: node.DefaultConfig(), engine: newEnum("disk", "mem"), profile: newEnum("waxwing", "rabbitmq-3.13", "rabbitmq-4"), broker: pairsValue{},
		logLevel: newEnum("info", "debug", "warn", "error"),
	}
	s.fileBytes = sizeValue(s.cfg.FileBytes)
	cmd := &cobra.Command{
		Use:     "serve",
		GroupID: groupServe,
		Short:   "Run the broker",
		Long: `Runs a broker that keeps everything in one folder and serves Kafka and
RabbitMQ (AMQP 0-9-1) clients. It listens on the loopback interface only, until
--kafka, --amqp and --http say otherwise; an empty address turns a listener off.
Where Kafka clients reach the broker under another name than it listens on (in a
container, behind a router), say so with --advertise.

The HTTP listener has /healthz, /readyz, /metrics (Prometheus), /api/ (a part of
RabbitMQ's management API, which "waxwing queue list" and others ask) and /seal/ (the
prekey directory). With --http-tls-cert and --http-tls-key all of it is over TLS;
without them the directory answers this machine only.

Every flag may also be a variable (--default-partitions is
WAXWING_DEFAULT_PARTITIONS) or a line of the YAML file given with --config
(default-partitions: 3). The flag wins over the variable, the variable over the
file. Broker settings by Kafka's own names, such as log.retention.hours, go under
broker-config. Where a flag has a twin there (--default-partitions and
num.partitions), the same holds for the two; in one place they must not differ.

SIGTERM and SIGINT let running requests finish and stop; a second signal ends the
process at once. Nothing that was acknowledged is lost either way.`,
		Example: `  waxwing serve
  waxwing serve --data /var/lib/waxwing --kafka 0.0.0.0:9092 --advertise broker.example.com
  waxwing serve --engine mem --http ''
  waxwing serve --config waxwing.yaml --json-log
  waxwing serve --default-partitions 3 --print-config >waxwing.yaml
  WAXWING_KAFKA=127.0.0.1:19092 waxwing serve --broker-config log.retention.hours=24`,
		Args: cobra.NoArgs,
		RunE: s.run,
	}
	s.addFlags(cmd)
	return cmd
}

func (s *serve) addFlags(cmd *cobra.Command) {
	fs, c := cmd.Flags(), &s.cfg
	fs.SortFlags = false // listed by subject
	fs.StringVar(&s.configFile, "config", "", "read settings from this YAML file")
	fs.BoolVar(&s.showConfig, "print-config", false, "print the settings that would hold, as a --config file, and stop")
	fs.StringVar(&c.DataDir, "data", "./waxwing-data", "folder that holds everything")
	fs.StringVar(&c.KafkaAddr, "kafka", "127.0.0.1:9092", "listen here for Kafka clients")
	fs.StringVar(&c.AMQPAddr, "amqp", "127.0.0.1:5672", "listen here for RabbitMQ (AMQP 0-9-1) clients")
	addEnum(cmd, s.profile, "amqp-profile", "", "what AMQP clients are told that this broker is")
	fs.StringVar(&c.HTTPAddr, "http", "127.0.0.1:8080", "listen here for health, metrics, /api/ and /seal/")
	fs.StringVar(&c.HTTPTLSCert, "http-tls-cert", "", "serve HTTP over TLS with this certificate (a PEM file, with its chain)")
	fs.StringVar(&c.HTTPTLSKey, "http-tls-key", "", "the key of --http-tls-cert (a PEM file)")
	fs.StringVar(&c.Advertise, "advertise", c.Advertise, "host or host:port that clients are told (default: the listen address)")
	addEnum(cmd, s.engine, "engine", "", "keep data on disk, or in memory for tests")
	fs.IntVar(&c.Shards, "shards", c.Shards, "number of logs that the data is spread over, decided at the first start and then stored (0: the stored number; 1 for a new folder)")
	fs.IntVar(&c.DefaultPartitions, "default-partitions", c.DefaultPartitions, "partitions of a topic that asks for none (num.partitions)")
	fs.BoolVar(&c.AutoCreateTopics, "auto-create-topics", c.AutoCreateTopics, "create a topic when a client first names it")
	fs.Var(&s.fileBytes, "file-bytes", "size of a journal file (in memory: 16MiB)")
	fs.DurationVar(&c.InitialRebalanceDelay, "initial-rebalance-delay", c.InitialRebalanceDelay, "how long a new consumer group waits for more members")
	fs.DurationVar(&c.RetentionCheck, "retention-check", c.RetentionCheck, "how often retention is applied")
	fs.Var(s.broker, "broker-config", "a broker setting by Kafka's name; may be repeated")
	fs.StringVar(&c.ClusterID, "cluster-id", c.ClusterID, "id of the cluster of a new folder, 22 characters as Kafka's tools make them (default: one is made); another than the stored one is refused")
	fs.Int32Var(&c.NodeID, "node-id", c.NodeID, "this broker's id among Kafka clients")
	fs.BoolVar(&s.jsonLog, "json-log", false, "write the log as JSON")
	addEnum(cmd, s.logLevel, "log-level", "", "least serious messages to log")
	fs.StringVar(&s.portFile, "port-file", "", "write the addresses listened on to this file, as JSON, when ready")
	fs.StringVar(&s.pprof, "pprof", "", "serve Go profiles over HTTP here")
	fs.DurationVar(&s.drain, "shutdown-timeout", 30*time.Second, "longest wait for running requests at the end")
	bindEnv(fs, "config", "data", "kafka", "amqp", "amqp-profile", "http", "http-tls-cert", "http-tls-key", "advertise", "engine", "shards", "default-partitions",
		"auto-create-topics", "file-bytes", "initial-rebalance-delay", "retention-check", "broker-config",
		"cluster-id", "node-id", "json-log", "log-level", "port-file", "pprof", "shutdown-timeout")
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	must(cmd.MarkFlagDirname("data"))
	must(cmd.MarkFlagFilename("port-file"))
	must(cmd.MarkFlagFilename("http-tls-cert"))
	must(cmd.MarkFlagFilename("http-tls-key"))
}

// memFileBytes is --file-bytes of --engine mem, if nothing else is said.
const memFileBytes = 16 << 20

// check refuses what serve or the node could not run with, before anything is
// made on the disk, and says where it was given.
func (s *serve) check(fs *pflag.FlagSet) error {
	for _, check := range []func() error{s.checkServes, s.checkDrain, s.checkPortFile, s.checkPprof, s.cfg.Validate} {
		if err := check(); err != nil {
			return placed(fs, err)
		}
	}
	return nil
}

// placed names the place of the setting that err is about, if it is.
func placed(fs *pflag.FlagSet, err error) error {
	var bad *node.ConfigError
	if errors.As(err, &bad) {
		return fmt.Errorf("%s: %s", source(fs, bad.Setting, bad.Name), bad.Text)
	}
	return err
}

// checkServes refuses to serve nobody.
func (s *serve) checkServes() error {
	if s.cfg.KafkaAddr == "" && s.cfg.AMQPAddr == "" {
		return &node.ConfigError{Setting: "kafka", Text: "is off, and so is amqp: nobody would be served"}
	}
	return nil
}

func (s *serve) checkDrain() error {
	if s.drain <= 0 {
		return &node.ConfigError{Setting: "shutdown-timeout", Text: "must be more than 0"}
	}
	return nil
}

func (s *serve) checkPortFile() error {
	if s.portFile == "" {
		return nil
	}
	dir := filepath.Dir(s.portFile)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return &node.ConfigError{Setting: "port-file", Text: "there is no folder " + dir}
	}
	if info, err := os.Stat(s.portFile); err == nil && info.IsDir() {
		return &node.ConfigError{Setting: "port-file", Text: s.portFile + " is a folder"}
	}
	return nil
}

func (s *serve) checkPprof() error {
	if s.pprof == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(s.pprof)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return &node.ConfigError{Setting: "pprof", Text: fmt.Sprintf("%q is not host:port", s.pprof)}
	}
	return nil
}

// settle reads the file, which the flags and the environment precede, and
// completes the node's configuration.
func (s *serve) settle(cmd *cobra.Command) error {
	if s.configFile != "" {
		if err := applyFile(cmd.Flags(), s.configFile); err != nil {
			return err
		}
	}
	s.cfg.Engine = s.engine.value
	s.cfg.AMQPProfile = s.profile.value
	if s.cfg.Engine == "mem" && !cmd.Flags().Changed("file-bytes") {
		s.fileBytes = memFileBytes // they are all in memory from the start
	}
	s.cfg.FileBytes = int64(s.fileBytes)
	s.cfg.BrokerConfig = s.broker
	if err := preferTwins(cmd.Flags(), s.cfg.Twins()); err != nil {
		return err
	}
	if err := s.check(cmd.Flags()); err != nil {
		return err
	}
	s.cfg.Version = readBuildInfo().Version
	s.cfg.Logger = s.logger(cmd.ErrOrStderr())
	return nil
}

// logger writes to w in the form and from the level that the flags ask for.
func (s *serve) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	must(level.UnmarshalText([]byte(s.logLevel.value)))
	options := &slog.HandlerOptions{Level: level}
	if s.jsonLog {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func (s *serve) run(cmd *cobra.Command, _ []string) error {
	if err := s.settle(cmd); err != nil {
		return err
	}
	if s.showConfig {
		return printSettings(cmd.OutOrStdout(), cmd.Flags())
	}
	warnUnknownEnv(cmd.Root(), s.cfg.Logger)
	var err error
	if s.cfg.DataDir, err = filepath.Abs(s.cfg.DataDir); err != nil {
		return err
	}
	profiles, err := startPprof(s.pprof)
	if err != nil {
		return err
	}
	defer profiles.stop()
	if err := removePortFile(s.portFile); err != nil {
		return err
	}
	n, err := node.Start(cmd.Context(), s.cfg)
	if err != nil {
		if cmd.Context().Err() != nil {
			return nil // asked to stop before it was up
		}
		return placed(cmd.Flags(), err)
	}
	addrs := listenAddrs{Kafka: n.KafkaAddr(), AMQP: n.AMQPAddr(), HTTP: n.HTTPAddr(), Pprof: profiles.addr}
	if err := s.announce(cmd.OutOrStdout(), addrs, n.AdvertisedAddr()); err != nil {
		return s.stop(n, err)
	}
	select {
	case <-n.Done():
		return n.Err()
	case <-cmd.Context().Done():
		s.cfg.Logger.Info("stopping")
		return s.stop(n, nil)
	}
}

// announce says where to connect: in the port file, and on stdout or, if logs
// are JSON, in the log. advertised is what Kafka clients are told.
func (s *serve) announce(w io.Writer, addrs listenAddrs, advertised string) error {
	where := s.cfg.DataDir
	if s.cfg.Engine == "mem" {
		where = "in memory, gone at the end"
	}
	if s.jsonLog {
		s.cfg.Logger.Info("listening", "version", s.cfg.Version, "kafka", addrs.Kafka, "advertised", advertised,
			"amqp", addrs.AMQP, "http", addrs.HTTP, "pprof", addrs.Pprof, "data", where)
		return writePortFile(s.portFile, addrs)
	}
	told := ""
	if advertised != addrs.Kafka {
		told = "  clients are told " + advertised
	}
	fmt.Fprintf(w, "Waxwing %s\n", s.cfg.Version)
	scheme := "http"
	if s.cfg.HTTPTLSCert != "" {
		scheme = "https"
	}
	for _, line := range []struct{ name, addr, format string }{
		{"Kafka", addrs.Kafka, "%s" + told},
		{"AMQP", addrs.AMQP, "%s"},
		{"HTTP", addrs.HTTP, scheme + "://%s  /healthz /readyz /metrics"},
		{"pprof", addrs.Pprof, "http://%s/debug/pprof/"},
	} {
		if line.addr != "" {
			fmt.Fprintf(w, "  %-6s "+line.format+"\n", line.name, line.addr)
		}
	}
	fmt.Fprintf(w, "  data   %s\n", where)
	return writePortFile(s.portFile, addrs)
}

// stop drains and stops the node; cause is why, if it is an error. Requests
// that outlast the limit make no failure: what they were answered holds.
func (s *serve) stop(n *node.Node, cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	err := n.Shutdown(ctx)
	if cause != nil {
		return cause
	}
	if err == nil {
		err = removePortFile(s.portFile)
	}
	if err == nil {
		s.cfg.Logger.Info("stopped")
	}
	return err
}

// startPprof serves profiles on addr; an empty addr serves none.
func startPprof(addr string) (*pprofServer, error) {
	p := &pprofServer{}
	if addr == "" {
		return p, nil
	}
	return p, p.listen(addr, &http.Server{Handler: pprofHandler(), ReadHeaderTimeout: 10 * time.Second})
}
