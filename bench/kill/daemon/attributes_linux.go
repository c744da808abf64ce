package daemon

import "syscall"

// attributes put the child in a process group of its own and have the kernel
// kill it when its parent dies, however that dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
