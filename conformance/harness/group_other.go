//go:build unix && !linux

package harness

import "syscall"

// ProcessGroup makes a child the leader of a process group of its own, so that
// all that it starts can be killed with it.
func ProcessGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
