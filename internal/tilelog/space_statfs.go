//go:build linux || darwin || freebsd

package tilelog

import "golang.org/x/sys/unix"

// freeSpace returns what is left of the file system that a path is on for
// anybody but root.
func freeSpace(path string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, err
	}
	return space{
		bytes: max(0, int64(st.Bavail)) * int64(st.Bsize),
		files: max(0, int64(st.Ffree)),
		// A file system that makes inodes as it goes counts none.
		counted: st.Files > 0,
	}, nil
}
