// Package fulldisk tests the broker on a disk that fills up: the test runs
// itself again in a mount namespace of its own, where it mounts a small tmpfs
// as the data folder. Root may do that, and others where the kernel lets them
// make user namespaces.
package fulldisk
