//go:build unix

package listen

import (
	"math"
	"syscall"
)

// filesMax is how many file descriptors the process may have open, sockets
// among them. (Go's runtime has raised the soft limit to the hard one.)
func filesMax() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil || uint64(r.Cur) > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(r.Cur)
}
