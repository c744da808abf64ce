//go:build !linux

package demo

import "syscall"

func dieWithParent(*syscall.SysProcAttr) {} // the pipe has to do
