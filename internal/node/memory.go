package node

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryLimit is what the memory alarm takes for all memory, in bytes: GOMEMLIMIT,
// or half of what the machine or its control group has, since Go's heap may grow to
// twice what is in use before it is collected. 0: not known.
func memoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return machineMemory(os.DirFS("/")) / 2
}

// machineMemory reads from the file system of a Linux how much memory this process
// may have, in bytes; 0 if it does not say.
func machineMemory(root fs.FS) int64 {
	least := int64(0)
	atMost := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	text, _ := fs.ReadFile(root, "proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			atMost(n << 10)
		}
	}
	for _, file := range limitFiles(root) {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // not "max"
			atMost(n)
		}
	}
	return least
}

// limitFiles are where limits of this process's control group may stand: of version
// 2, its own and those of the groups that hold it, and of version 1.
func limitFiles(root fs.FS) []string {
	files := []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"}
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for dir := path.Clean("/" + group); dir != "/"; dir = path.Dir(dir) {
			files = append(files, path.Join("sys/fs/cgroup", dir, "memory.max"))
		}
	}
	return files
}
