package pid1

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"sourcery/userland/internal/mountinfo"
)

// A mount is one file system of the device.
type mount struct {
	kind, target string
	flags        uintptr
	options      string
	folder       bool // make the target first: it lies on a mount that comes before
}

// earlyMounts are needed to know what is mounted, and what is wanted.
var earlyMounts = []mount{
	{kind: "proc", target: "/proc", flags: syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
}

// mounts are all the others. By default a tmpfs takes up to half of the memory;
// several of them could then fill it all, and the kernel would kill programs
// where the user could have been told that a disk is full. So they share: the
// build cache and what is being compiled lie in /tmp, compiled commands in /bin.
var mounts = []mount{
	{kind: "sysfs", target: "/sys", flags: syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
	{kind: "devtmpfs", target: "/dev", flags: syscall.MS_NOSUID, options: "mode=0755"},
	{kind: "devpts", target: "/dev/pts", flags: syscall.MS_NOSUID | syscall.MS_NOEXEC, options: "mode=0620,ptmxmode=0666", folder: true},
	{kind: "tmpfs", target: "/dev/shm", flags: syscall.MS_NOSUID | syscall.MS_NODEV, options: "mode=1777,size=5%", folder: true},
	{kind: "tmpfs", target: "/run", flags: syscall.MS_NOSUID | syscall.MS_NODEV, options: "mode=0755,size=5%"},
	{kind: "tmpfs", target: "/root", flags: syscall.MS_NOSUID | syscall.MS_NODEV, options: "mode=0700,size=10%"},
	{kind: "tmpfs", target: "/tmp", flags: syscall.MS_NOSUID | syscall.MS_NODEV, options: "mode=1777,size=40%"},
	{kind: "tmpfs", target: "/bin", flags: syscall.MS_NODEV, options: "mode=0755,size=35%"},
}

// mountAll mounts what is not mounted already.
func (i *Init) mountAll(list []mount) {
	for _, m := range list {
		// Read anew each time: /proc may be the one that was just mounted.
		if mountinfo.Has(m.target) {
			i.debug("%s: something is mounted there, it stays", m.target)
			continue
		}
		if m.folder {
			i.check(m.target, ignoring(os.Mkdir(m.target, 0o755), fs.ErrExist))
		}
		err := syscall.Mount(m.kind, m.target, m.kind, m.flags, m.options)
		switch {
		case errors.Is(err, syscall.EBUSY): // mounted, but not to be seen in /proc
			i.debug("%s: busy, it stays as it is", m.target)
		case errors.Is(err, fs.ErrNotExist):
			i.say("%s cannot be mounted: the stick has no directory for it", m.target)
		case err != nil:
			i.say("mounting %s on %s: %v", m.kind, m.target, err)
		default:
			i.debug("mounted %s on %s", m.kind, m.target)
		}
	}
}

// linkDevices makes the links that programs expect in /dev besides devices.
func (i *Init) linkDevices() {
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
	} {
		i.debugCheck("/dev/"+name, ignoring(os.Symlink(target, "/dev/"+name), fs.ErrExist))
	}
}

func ignoring(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}
