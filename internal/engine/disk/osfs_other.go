//go:build !linux

package disk

// Sync makes content and length durable by whatever the standard library
// knows to be enough on this system.
func (o osFile) Sync() error { return o.f.Sync() }

// Preallocate does nothing here; filling the file takes the space.
func (o osFile) Preallocate(int64) error { return nil }
