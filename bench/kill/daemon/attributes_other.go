//go:build !linux

package daemon

import "syscall"

// attributes put the child in a process group of its own.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
