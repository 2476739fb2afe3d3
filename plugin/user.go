package plugin

import "os"

// identity is who containers run as.
type identity struct{ UID, GID int }

// user is the caller; root runs containers as 1000, because images made here
// have nothing that root could do and that a node should.
func user() identity {
	id := identity{os.Getuid(), os.Getgid()}
	if id.UID <= 0 { // root, or a system without uids
		return identity{1000, 1000}
	}
	return id
}
