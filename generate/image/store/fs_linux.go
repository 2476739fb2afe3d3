package store

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// remote tells a file system whose shared memory other machines do not see:
// there write-ahead logging seems to work and damages the file.
func remote(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		var stat unix.Statfs_t
		if err := unix.Statfs(dir, &stat); err == nil {
			return remoteType(int64(stat.Type)) //nolint:unconvert // the type differs between architectures
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}

func remoteType(magic int64) bool {
	switch uint32(magic) { // it has 32 bits
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.AFS_SUPER_MAGIC,
		unix.CODA_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC, unix.V9FS_MAGIC, unix.FUSE_SUPER_MAGIC:
		return true
	}
	return false
}

// crowded tells a file system without room for a database and its journal.
// Only root has the blocks that others are refused.
func crowded(path string) bool {
	var stat unix.Statfs_t
	err := unix.Statfs(filepath.Dir(path), &stat)
	return err == nil && stat.Blocks > 0 && stat.Bavail*uint64(stat.Bsize) < 256<<10 //nolint:gosec // a size, never negative
}
