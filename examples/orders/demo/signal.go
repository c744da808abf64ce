package demo

import (
	"os"
	"syscall"
)

// stopSelf stops this process until somebody continues it.
func stopSelf() error { return syscall.Kill(os.Getpid(), syscall.SIGSTOP) }

// resume lets a process that is stopped go on.
func (p *process) resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// apart keeps Ctrl-C in a terminal from children: this process ends them in order.
func apart(a *syscall.SysProcAttr) { a.Setpgid = true }
