package stick

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"sourcery/userland/internal/device"
)

// mountPoint is where the stick is mounted before it becomes the root.
const mountPoint = "/stick"

// mountOptions are tried in this order. The first gives the same names and times
// whatever the kernel's defaults are (kernel, Documentation/filesystems/vfat.rst):
// times are UTC, as they were when the seed was made, and everything may be
// executed. A kernel that has not these character sets has its own.
var mountOptions = []string{
	"utf8=1,codepage=437,iocharset=iso8859-1,shortname=mixed,tz=UTC,fmask=0022,dmask=0022",
	"shortname=mixed,tz=UTC,fmask=0022,dmask=0022",
}

// mount mounts the volume read-only, and makes sure that there is something to
// start on it.
func (m machine) mount(d blockDevice) error {
	if err := os.MkdirAll(mountPoint, 0o755); err != nil {
		return err
	}
	var err error
	for _, options := range mountOptions {
		err = syscall.Mount(filepath.Join(m.dev, d.name), mountPoint, "vfat", syscall.MS_RDONLY|syscall.MS_NOATIME, options)
		if !errors.Is(err, syscall.EINVAL) {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("mounting %s: this kernel has no vfat file system, neither built in nor as a module that could be loaded", d.name)
	case err != nil:
		return fmt.Errorf("mounting %s: %w", d.name, err)
	}
	if err := checkStick(mountPoint); err != nil {
		syscall.Unmount(mountPoint, 0)
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// program gives the path of init on the stick.
func program() string { return filepath.Join(device.Here().Programs(), "init") }

// checkStick makes sure that this architecture's init is below a directory.
func checkStick(root string) error {
	info, err := os.Stat(filepath.Join(root, program()))
	if err == nil && info.Mode().IsRegular() {
		return nil
	}
	if err == nil {
		err = errors.New("it is no file")
	}
	platforms, _ := filepath.Glob(filepath.Join(root, "linux_*"))
	for i, path := range platforms {
		platforms[i] = filepath.Base(path)
	}
	return fmt.Errorf("this stick has no %s to start on linux/%s (%w); it has: %s",
		program(), runtime.GOARCH, reason(err), strings.Join(platforms, " "))
}

// enter makes the stick the root of everything, gives the initramfs's memory
// back, and becomes init. It only returns if that fails.
//
// pivot_root(2) does not work on the initial root file system, so the stick is
// moved over it (kernel, Documentation/filesystems/ramfs-rootfs-initramfs.rst).
func enter(root string) error {
	for _, target := range []string{"/dev", "/proc", "/sys"} {
		if err := syscall.Mount(target, filepath.Join(root, target), "", syscall.MS_MOVE, ""); err != nil {
			// Init mounts what is not there.
			syscall.Unmount(target, syscall.MNT_DETACH)
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	removeInitramfs("/")
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the stick to /: %w", err)
	}
	if err := syscall.Chroot("."); err != nil {
		return fmt.Errorf("making the stick the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	err := syscall.Exec(program(), []string{"init"}, os.Environ())
	return fmt.Errorf("starting %s: %w", program(), err)
}

// Magic numbers of what an initramfs can be (statfs(2)): nothing else is ever
// emptied.
const (
	ramfsMagic = 0x858458f6
	tmpfsMagic = 0x01021994
)

// removeInitramfs deletes what is on the file system of dir, and only there: all
// its pages are memory. What cannot be deleted stays.
func removeInitramfs(dir string) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Type != ramfsMagic && fs.Type != tmpfsMagic {
		return
	}
	var top syscall.Stat_t
	if err := syscall.Lstat(dir, &top); err == nil {
		removeOn(top.Dev, dir)
	}
}

func removeOn(dev uint64, dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		var s syscall.Stat_t
		if err := syscall.Lstat(path, &s); err != nil || s.Dev != dev {
			continue
		}
		if entry.IsDir() {
			removeOn(dev, path)
		}
		os.Remove(path)
	}
}
