//go:build !linux

package disk

import "os"

// Sync makes content and length durable by whatever the standard library
// knows to be enough on this system.
func (o osFile) Sync() error { return o.f.Sync() }

// Preallocate does nothing here; filling the file takes the space.
func (o osFile) Preallocate(int64) error { return nil }

type osFileExtra struct{}

func openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o640)
	if err != nil {
		return nil, err
	}
	return osFile{f: f}, nil
}

func (o osFile) Close() error { return o.f.Close() }

func (osFS) Remove(name string) error { return os.Remove(name) }
