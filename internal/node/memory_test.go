package node

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/fstest"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestMemoryAlarm: near GOMEMLIMIT publishers are blocked, and nobody else, until
// memory is given back.
func TestMemoryAlarm(t *testing.T) {
	ballast := make([]byte, 256<<20)
	runtime.GC()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
	n := start(t, testConfig(t))
	defer stop(t, n)
	c, err := amqp091.Dial("amqp://guest:guest@" + n.AMQPAddr() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	blocked := c.NotifyBlocked(make(chan amqp091.Blocking, 2))
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	if b := <-blocked; !b.Active || b.Reason != "low on memory" {
		t.Fatalf("%+v", b)
	}
	runtime.KeepAlive(ballast)
	ballast = nil
	if b := <-blocked; b.Active {
		t.Fatalf("%+v", b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if ok, err := confirm.WaitContext(ctx); !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
}

// TestMachineMemory: the least of what the machine has and its control groups allow.
func TestMachineMemory(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	const meminfo, own = "MemTotal:        8000000 kB\nMemFree:         100 kB\n", "sys/fs/cgroup/system.slice/waxwing.service/memory.max"
	for what, c := range map[string]struct {
		files fstest.MapFS
		want  int64
	}{
		"nothing is known": {fstest.MapFS{}, 0},
		"the machine":      {fstest.MapFS{"proc/meminfo": file(meminfo)}, 8000000 << 10},
		"a container":      {fstest.MapFS{"proc/meminfo": file(meminfo), "sys/fs/cgroup/memory.max": file("1000000\n"), "proc/self/cgroup": file("0::/\n")}, 1000000},
		"no limit":         {fstest.MapFS{"proc/meminfo": file(meminfo), "sys/fs/cgroup/memory.max": file("max\n")}, 8000000 << 10},
		"version 1":        {fstest.MapFS{"proc/meminfo": file(meminfo), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("2000000")}, 2000000},
		"version 1, none":  {fstest.MapFS{"proc/meminfo": file(meminfo), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712")}, 8000000 << 10},
		"a service":        {fstest.MapFS{"proc/meminfo": file(meminfo), "proc/self/cgroup": file("0::/system.slice/waxwing.service\n"), own: file("3000000")}, 3000000},
		"its slice":        {fstest.MapFS{"proc/self/cgroup": file("1:name=x:/y\n0::/system.slice/waxwing.service\n"), own: file("max"), "sys/fs/cgroup/system.slice/memory.max": file("4000000")}, 4000000},
	} {
		if got := machineMemory(c.files); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
	if got := machineMemory(os.DirFS("/")); runtime.GOOS == "linux" && got < 64<<20 {
		t.Errorf("this machine has %d bytes", got)
	}
}

// TestMemoryLimit: GOMEMLIMIT counts, if it is set.
func TestMemoryLimit(t *testing.T) {
	if got, all := memoryLimit(), machineMemory(os.DirFS("/")); got != all/2 {
		t.Errorf("without GOMEMLIMIT %d of %d", got, all)
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	if got := memoryLimit(); got != 1<<30 {
		t.Errorf("with GOMEMLIMIT %d", got)
	}
}
