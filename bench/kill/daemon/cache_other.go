//go:build !linux

package daemon

import "errors"

// DropCache takes files out of the page cache, which only Linux can be told.
func DropCache(string) error { return errors.New("a cold page cache needs Linux") }
