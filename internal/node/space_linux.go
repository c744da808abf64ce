package node

import "golang.org/x/sys/unix"

// diskSpace is the size of the data folder's disk and what of it is free, in
// bytes; -1 if that is not known.
func (n *Node) diskSpace() (total, free int64) {
	var st unix.Statfs_t
	if n.cfg.Engine != "disk" || unix.Statfs(n.cfg.DataDir, &st) != nil {
		return -1, -1
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize
}
