package harness

import "syscall"

// ProcessGroup makes a child the leader of a process group of its own, so that
// all that it starts can be killed with it. It dies with the test process.
func ProcessGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
