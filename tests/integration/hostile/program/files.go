package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const mebibyte = 1 << 20

var fileAttempts = map[string]attempt{
	"root-create":        opening("/made-here", os.O_CREATE|os.O_WRONLY),
	"root-folder":        func() result { return tried(os.Mkdir("/bin/folder", 0o755)) },
	"root-program":       opening("/bootstrap/bin/gofmt", os.O_WRONLY),
	"root-replace":       func() result { return tried(os.Rename("/bin/hostile", "/bin/other")) },
	"root-mode":          func() result { return tried(os.Chmod("/bin", 0o777)) },
	"root-running":       func() result { return reopened("/proc/self/exe") },
	"elsewhere-writable": elsewhere,
	"tmp-hidden-mount":   func() result { return tried(os.Remove("/tmp")) },
	"work-moved":         func() result { return tried(os.Rename("/work", "/tmp/work")) },
	"secret-by-path":     func() result { return reading(order.Secret)() },
	"secret-by-link":     secretByLink,
	"secret-by-dots":     func() result { return reading("/work/" + strings.Repeat("../", 40) + order.Secret[1:])() },
	"chroot":             func() result { return tried(syscall.Chroot("/tmp")) },
	"chroot-escape":      chrootEscape,
	"set-user-id-file":   setUserID,
	"file-capability":    fileCapability,
	"trusted-attribute":  func() result { return attribute("trusted.hostile") },
	"security-attribute": func() result { return attribute("security.hostile") },
	"immutable-file":     immutable,
	"give-file-away":     giveAway,
	"whiteout-device":    func() result { return tried(syscall.Mknod("/tmp/whiteout", syscall.S_IFCHR, 0)) },
	"character-device":   func() result { return tried(syscall.Mknod("/tmp/zero", syscall.S_IFCHR|0o666, 1<<8|5)) },
	"block-device":       func() result { return tried(syscall.Mknod("/tmp/disk", syscall.S_IFBLK|0o666, 254<<8)) },
	"file-handle-make":   fileHandle,
	"file-handle-open":   openHandle,
	"core-pattern":       writing("/proc/sys/kernel/core_pattern", "|/work/core"),
	"core-file":          coreFile,
	"file-swap-on":       swapOn,
	"shm-file":           opening("/dev/shm/hostile", os.O_CREATE|os.O_WRONLY),
	"mqueue-file":        opening("/dev/mqueue/hostile", os.O_CREATE|os.O_WRONLY),
	"terminal-folder":    opening("/dev/pts/hostile", os.O_CREATE|os.O_WRONLY),
}

// reopened opens a file for writing that is running or open for reading.
func reopened(path string) result {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		file.Close()
	}
	return tried(err)
}

// elsewhere looks for a folder that can be written and is neither the work folder nor /tmp.
func elsewhere() result {
	found := []string{}
	filepath.WalkDir("/", func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		if path == "/work" || path == "/tmp" || path == "/proc" || path == "/dev/fd" {
			return filepath.SkipDir
		}
		name := path + "/hostile-was-here"
		file, err := os.Create(name)
		if err == nil {
			file.Close()
			os.Remove(name)
			found = append(found, path)
		}
		return nil
	})
	if len(found) == 0 {
		return no("none")
	}
	return yes(found)
}

func secretByLink() result {
	link := "/tmp/link-" + order.Token
	if err := os.Symlink(order.Secret, link); err != nil {
		return bad(err)
	}
	return reading(link)()
}

// chrootEscape is the old way out: a root below the working directory, and then up.
func chrootEscape() result {
	os.Mkdir("/tmp/inner", 0o755)
	if err := syscall.Chroot("/tmp/inner"); err != nil {
		return no(err)
	}
	for depth := 0; depth < 64; depth++ {
		syscall.Chdir("..")
	}
	syscall.Chroot(".")
	return reading(order.Secret)()
}

// setUserID makes a set-user-id program and runs it: its user is this one, so nothing is gained.
func setUserID() result {
	path := "/tmp/program-" + order.Token
	data, err := os.ReadFile(os.Args[0])
	check(err)
	check(os.WriteFile(path, data, 0o755))
	if err = syscall.Chown(path, 0, 0); err == nil {
		return yes("it belongs to root")
	}
	return no(err)
}

func fileCapability() result {
	path := "/tmp/capable-" + order.Token
	check(os.WriteFile(path, nil, 0o755))
	// Version 2, effective, with every capability: linux/capability.h.
	value := []byte{1, 0, 0, 2, 255, 255, 255, 255, 0, 0, 0, 0, 255, 1, 0, 0, 0, 0, 0, 0}
	return tried(syscall.Setxattr(path, "security.capability", value, 0))
}

func attribute(name string) result {
	path := "/work/attribute-" + name
	check(os.WriteFile(path, nil, 0o644))
	return tried(syscall.Setxattr(path, name, []byte("x"), 0))
}

// immutable sets the flag that would keep the engine from removing the work folder.
func immutable() result {
	path := "/work/immutable"
	check(os.WriteFile(path, nil, 0o644))
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	const setFlags, immutableFlag = 0x40086602, 0x10
	flags := make([]byte, 8)
	flags[0] = immutableFlag
	return call(syscall.SYS_IOCTL, file.Fd(), setFlags, buffer(flags))
}

func giveAway() result {
	path := "/work/given"
	check(os.WriteFile(path, nil, 0o644))
	return tried(os.Chown(path, 1, 1))
}

// handle is a struct file_handle with room for 128 bytes.
func handle() []byte {
	return append([]byte{128, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 128)...)
}

func fileHandle() result {
	return call(sysNameToHandleAt, at(-100), text("/work"), buffer(handle()),
		buffer(make([]byte, 8)), 0)
}

func openHandle() result {
	folder, err := os.Open("/work")
	check(err)
	found := handle()
	place := buffer(found)
	call(sysNameToHandleAt, at(-100), text("/work"), place, buffer(make([]byte, 8)), 0)
	return call(sysOpenByHandleAt, folder.Fd(), place, syscall.O_RDONLY)
}

// at makes a system call's argument of a negative number, such as AT_FDCWD.
func at(number int) uintptr { return uintptr(number) }

// coreFile wants a memory image of the machine's making.
func coreFile() result {
	limit := &syscall.Rlimit{Cur: 1 << 30, Max: 1 << 30}
	return tried(syscall.Setrlimit(syscall.RLIMIT_CORE, limit))
}

func swapOn() result {
	check(os.WriteFile("/work/swap", make([]byte, 40960), 0o600))
	return call(syscall.SYS_SWAPON, text("/work/swap"), 0)
}

// fillFile writes into a file until that fails or the wanted size is reached.
func fillFile(path string, wanted int) (int, error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	piece := []byte(strings.Repeat("hostile ", mebibyte/8))
	for total := 0; ; {
		count, err := file.Write(piece)
		total += count
		if err != nil || total >= wanted {
			return total, err
		}
	}
}

func sizes(total int, err error) string {
	return fmt.Sprintf("%d MiB, then: %v", total/mebibyte, err)
}
