package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Kafka is a real Apache Kafka, one KRaft node, to compare with.
type Kafka struct {
	Bootstrap string // its listener, HOST:PORT

	script func(t *testing.T, args ...string) string
}

// StartKafka starts an Apache Kafka with empty data until t ends, or this process
// does. settings are the broker's, as KEY=VALUE. Its jars come from Maven if they
// are not there.
func StartKafka(t *testing.T, settings ...string) *Kafka {
	t.Helper()
	root, err := Root()
	Must(t, err)
	// Not t.TempDir: the path must not hold what a test's name may.
	dir, err := os.MkdirTemp("", "waxwing-kafka-")
	Must(t, err)
	k := &Kafka{script: func(t *testing.T, args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(root, "bench", "kafka-peer.sh"), args...)
		cmd.Env = append(os.Environ(), "KAFKA_PEER_DIR="+filepath.Join(dir, "peer"), "KAFKA_HEAP=512m", fmt.Sprintf("KAFKA_PEER_OWNER=%d", os.Getpid()))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("kafka-peer.sh %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}}
	t.Cleanup(func() {
		k.script(t, "stop")
		Must(t, os.RemoveAll(dir))
	})
	k.Bootstrap = k.script(t, append([]string{"start"}, settings...)...)
	return k
}

// Restart kills it, as kill -9 does, and starts it on its data and address.
func (k *Kafka) Restart(t *testing.T) {
	t.Helper()
	k.script(t, "kill")
	k.script(t, "restart")
}
