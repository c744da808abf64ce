//go:build !linux

package node

// diskSpace is not known here.
func (n *Node) diskSpace() (total, free int64) { return -1, -1 }
