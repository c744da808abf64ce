//go:build mutants

package mutant

import "os"

var active = Name(os.Getenv("WAXWING_MUTANT"))

// On reports whether the safeguard is removed: the one that WAXWING_MUTANT names.
func On(n Name) bool { return n == active }
