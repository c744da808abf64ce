//go:build !unix

package listen

import "math"

// filesMax is how many files and sockets the process may have open.
func filesMax() int { return math.MaxInt32 }
