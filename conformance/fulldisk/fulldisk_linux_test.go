package fulldisk

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// inside is the variable by which the test knows that it may mount.
const inside = "WAXWING_MAY_MOUNT"

const (
	diskBytes  = 96 << 20
	fileBytes  = 8 << 20
	valueBytes = 64 << 10
)

// TestFullDisk fills the data folder, kills the broker, and goes on: nothing
// that was acknowledged is lost, and a deleted topic makes room.
func TestFullDisk(t *testing.T) {
	if os.Getenv(inside) == "" {
		runInside(t)
		return
	}
	s := &suite{broker: harness.StartBrokerIn(t, mount(t), "--file-bytes", fmt.Sprint(fileBytes))}
	s.connect(t)
	kept, filled, group := s.topic(t, "kept"), s.topic(t, "filled"), harness.Fresh("group")
	harness.Must(t, s.produce(t, kept, 0))

	count := s.fill(t, filled, 0)
	s.want(t, filled, count)
	s.commit(t, group, filled, int64(count))

	s.restart(t)
	s.want(t, filled, count)
	if got := s.committed(t, group, filled); got != int64(count) {
		t.Errorf("after the kill the group has committed %d, want %d", got, count)
	}
	count = s.fill(t, filled, count)
	s.want(t, filled, count)

	_, err := s.admin.DeleteTopic(harness.Context(t), filled)
	harness.Must(t, err)
	harness.Until(t, "there is room again", func() bool { return s.produce(t, kept, 1) == nil })
	for i := 2; i < 100; i++ {
		harness.Must(t, s.produce(t, kept, i))
	}
	s.restart(t)
	s.want(t, kept, 100)
}

// runInside runs the test again in a mount namespace of its own, which ends
// with it.
func runInside(t *testing.T) {
	program, err := os.Executable()
	harness.Must(t, err)
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = harness.ProcessGroup()
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if t.Logf("%s", out); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in a mount namespace of its own: %v", err)
	}
}

// mount returns a folder with a small file system of its own.
func mount(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	harness.Must(t, os.Mkdir(dir, 0o755))
	// What is mounted below must not be seen outside.
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make mounts private: %v", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { harness.Must(t, syscall.Unmount(dir, 0)) })
	return dir
}

// suite is one broker and clients that try once.
type suite struct {
	broker *harness.Broker
	client *kgo.Client
	admin  *kadm.Client
}

func (s *suite) connect(t *testing.T) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Bootstrap), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.MetadataMinAge(100*time.Millisecond))
	harness.Must(t, err)
	t.Cleanup(cl.Close)
	s.client, s.admin = cl, kadm.NewClient(cl)
}

// restart kills the broker, starts it again, and connects anew, because the
// clients would try once on the connections that are dead.
func (s *suite) restart(t *testing.T) {
	t.Helper()
	s.broker.Kill(t)
	s.broker.Restart(t)
	s.connect(t)
}

func (s *suite) topic(t *testing.T, prefix string) string {
	t.Helper()
	name := harness.Fresh(prefix)
	_, err := s.admin.CreateTopic(harness.Context(t), 1, 1, nil, name)
	harness.Must(t, err)
	return name
}

// produce sends the i-th record of a topic.
func (s *suite) produce(t *testing.T, topic string, i int) error {
	value := make([]byte, valueBytes)
	rand.Read(value)
	copy(value, fmt.Sprintf("%8d", i))
	return s.client.ProduceSync(harness.Context(t), &kgo.Record{Topic: topic, Value: value}).FirstErr()
}

// fill produces from the i-th record on until the disk is full, and returns
// how many records the topic has then.
func (s *suite) fill(t *testing.T, topic string, i int) int {
	t.Helper()
	for ; i < diskBytes/valueBytes; i++ {
		if err := s.produce(t, topic, i); errors.Is(err, kerr.KafkaStorageError) {
			return i
		} else if err != nil {
			t.Fatalf("record %d on a disk that fills up: %v", i, err)
		}
	}
	t.Fatalf("%d records of %d bytes went into %d bytes", i, valueBytes, diskBytes)
	return 0
}

// want fails t unless the topic holds the first count records and no other.
func (s *suite) want(t *testing.T, topic string, count int) {
	t.Helper()
	got := harness.ReadAll(t, s.broker, topic)
	if len(got) != count || count == 0 {
		t.Fatalf("%s holds %d records, want %d", topic, len(got), count)
	}
	for i, r := range got {
		if want := fmt.Sprintf("%8d", i); r.Offset != int64(i) || string(r.Value[:8]) != want || len(r.Value) != valueBytes {
			t.Fatalf("%s holds %q at offset %d, want %q", topic, r.Value[:8], r.Offset, want)
		}
	}
}

func (s *suite) commit(t *testing.T, group, topic string, at int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, at, -1)
	harness.Must(t, s.admin.CommitAllOffsets(harness.Context(t), group, offsets))
}

func (s *suite) committed(t *testing.T, group, topic string) int64 {
	t.Helper()
	fetched, err := s.admin.FetchOffsets(harness.Context(t), group)
	harness.Must(t, errors.Join(err, fetched.Error()))
	o, _ := fetched.Lookup(topic, 0)
	return o.At
}
