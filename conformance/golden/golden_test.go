package golden

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

var record = flag.Bool("record", false, "record the clients' conversations anew, into internal/kafka/testdata/golden")

// sessions have each client create topic "golden" with two partitions, produce
// three records, consume them as the only member of group "readers", commit
// and leave.
var sessions = map[string]func(t *testing.T, bootstrap string){
	"kcat": func(t *testing.T, bootstrap string) {
		program(t, "a\nb\nc\n", nil, "kcat", "-b", bootstrap, "-P", "-t", "golden", "-p", "0")
		program(t, "", nil, "kcat", "-b", bootstrap, "-X", "auto.offset.reset=earliest", "-G", "readers", "-c", "3", "golden")
	},
	"kafkajs": func(t *testing.T, bootstrap string) {
		env := []string{"NODE_PATH=" + harness.Tool(t, "node", "node_modules"), "BOOTSTRAP=" + bootstrap, "KAFKAJS_NO_PARTITIONER_WARNING=1"}
		program(t, "", env, "node", "golden.js")
	},
	"kafka-python": func(t *testing.T, bootstrap string) {
		program(t, "", []string{"BOOTSTRAP=" + bootstrap}, harness.Tool(t, "python", "bin", "python"), "golden.py")
	},
	"java": func(t *testing.T, bootstrap string) {
		program(t, "", nil, "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(harness.Tool(t, "java"), "*"), "Golden.java", bootstrap)
	},
	"sarama":   saramaSession,
	"kafka-go": kafkaGoSession,
	"franz-go": franzSession,
}

// TestRecord records all sessions, with -record.
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("only with -record")
	}
	root, err := harness.Root()
	harness.Must(t, err)
	dir := filepath.Join(root, "internal", "kafka", "testdata", "golden")
	harness.Must(t, os.MkdirAll(dir, 0o755))
	for name, session := range sessions {
		t.Run(name, func(t *testing.T) {
			r, err := newRecorder()
			harness.Must(t, err)
			b := harness.StartBroker(t, "--advertise", r.addr(), "--amqp", "", "--default-partitions", "2")
			go r.serve(b.Bootstrap)
			session(t, r.addr())
			conversation := r.close()
			if !t.Failed() {
				harness.Must(t, os.WriteFile(filepath.Join(dir, name+".txt"), []byte(conversation), 0o644))
			}
		})
	}
}

// program runs a client that is a program of its own.
func program(t *testing.T, in string, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Env = strings.NewReader(in), append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func franzSession(t *testing.T, bootstrap string) {
	ctx := harness.Context(t)
	p, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	harness.Must(t, err)
	_, err = kadm.NewClient(p).CreateTopic(ctx, 2, 1, nil, "golden")
	harness.Must(t, err)
	for _, v := range []string{"a", "b", "c"} {
		harness.Must(t, p.ProduceSync(ctx, &kgo.Record{Topic: "golden", Value: []byte(v)}).FirstErr())
	}
	p.Close()
	c, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("golden"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	harness.Must(t, err)
	defer c.Close()
	for got := 0; got < 3; {
		fetches := c.PollFetches(ctx)
		harness.Must(t, fetches.Err())
		got += fetches.NumRecords()
	}
	harness.Must(t, c.CommitUncommittedOffsets(ctx))
	harness.Must(t, c.LeaveGroupContext(ctx))
}

func kafkaGoSession(t *testing.T, bootstrap string) {
	ctx := harness.Context(t)
	conn, err := kafka.DialContext(ctx, "tcp", bootstrap)
	harness.Must(t, err)
	harness.Must(t, conn.CreateTopics(kafka.TopicConfig{Topic: "golden", NumPartitions: 2, ReplicationFactor: 1}))
	harness.Must(t, conn.Close())
	w := &kafka.Writer{Addr: kafka.TCP(bootstrap), Topic: "golden", BatchTimeout: 10 * time.Millisecond, RequiredAcks: kafka.RequireAll}
	harness.Must(t, w.WriteMessages(ctx, kafka.Message{Value: []byte("a")}, kafka.Message{Value: []byte("b")}, kafka.Message{Value: []byte("c")}))
	harness.Must(t, w.Close())
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, GroupID: "readers", Topic: "golden", StartOffset: kafka.FirstOffset, MaxWait: 300 * time.Millisecond})
	for range 3 {
		m, err := r.FetchMessage(ctx)
		harness.Must(t, err)
		harness.Must(t, r.CommitMessages(ctx, m))
	}
	harness.Must(t, r.Close())
}

func saramaSession(t *testing.T, bootstrap string) {
	ctx, cancel := context.WithCancel(harness.Context(t))
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V2_8_0_0
	cfg.Producer.Return.Successes = true
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.Consumer.Offsets.AutoCommit.Enable = false
	admin, err := sarama.NewClusterAdmin([]string{bootstrap}, cfg)
	harness.Must(t, err)
	harness.Must(t, admin.CreateTopic("golden", &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false))
	harness.Must(t, admin.Close())
	p, err := sarama.NewSyncProducer([]string{bootstrap}, cfg)
	harness.Must(t, err)
	for _, v := range []string{"a", "b", "c"} {
		_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "golden", Value: sarama.StringEncoder(v)})
		harness.Must(t, err)
	}
	harness.Must(t, p.Close())
	g, err := sarama.NewConsumerGroup([]string{bootstrap}, "readers", cfg)
	harness.Must(t, err)
	h := &saramaReader{left: 3, done: cancel, turn: make(chan struct{}, 1)}
	harness.Must(t, g.Consume(ctx, []string{"golden"}, h))
	harness.Must(t, g.Close())
}

// saramaReader ends the session when it has read and committed all.
type saramaReader struct {
	left int
	done func()
	turn chan struct{} // one partition at a time
}

func (*saramaReader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaReader) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (r *saramaReader) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		r.turn <- struct{}{}
		s.MarkMessage(m, "")
		s.Commit()
		if r.left--; r.left == 0 {
			r.done()
		}
		<-r.turn
	}
	return nil
}
