package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// Numbers that every architecture shares (from 424 on), and those that package syscall lacks.
const (
	openTree, fsopen, pidfdGetfd, clone3       = 428, 430, 438, 435
	ioUringSetup, processMadvise, mountSetattr = 425, 440, 442
	quotactlFd, memfdSecret                    = 443, 447
)

var own = map[string]map[string]uintptr{
	"amd64": {"userfaultfd": 323, "bpf": 321, "kcmp": 312, "finit_module": 313,
		"process_vm_readv": 310, "setns": 308, "name_to_handle_at": 303, "open_by_handle_at": 304},
	"arm64": {"userfaultfd": 282, "bpf": 280, "kcmp": 272, "finit_module": 273,
		"process_vm_readv": 270, "setns": 268, "name_to_handle_at": 264, "open_by_handle_at": 265},
}

// calls makes system calls that reach past an action's isolation, and says how each was refused.
func calls([]string) {
	found := map[string]string{}
	for name, number := range map[string]uintptr{
		"acct": syscall.SYS_ACCT, "add_key": syscall.SYS_ADD_KEY, "chroot": syscall.SYS_CHROOT,
		"clone3": clone3, "fsopen": fsopen, "io_uring_setup": ioUringSetup,
		"kexec_load": syscall.SYS_KEXEC_LOAD, "keyctl": syscall.SYS_KEYCTL,
		"memfd_secret": memfdSecret, "mount": syscall.SYS_MOUNT, "mount_setattr": mountSetattr,
		"open_tree": openTree, "perf_event_open": syscall.SYS_PERF_EVENT_OPEN,
		"pidfd_getfd": pidfdGetfd, "pivot_root": syscall.SYS_PIVOT_ROOT,
		"process_madvise": processMadvise, "ptrace": syscall.SYS_PTRACE,
		"quotactl": syscall.SYS_QUOTACTL, "quotactl_fd": quotactlFd,
		"request_key": syscall.SYS_REQUEST_KEY, "settimeofday": syscall.SYS_SETTIMEOFDAY,
		"swapon": syscall.SYS_SWAPON, "syslog": syscall.SYS_SYSLOG,
		"umount2": syscall.SYS_UMOUNT2, "unshare": syscall.SYS_UNSHARE,
	} {
		_, _, errno := syscall.RawSyscall6(number, 0, 0, 0, 0, 0, 0)
		found[name] = refused(errno)
	}
	for name, number := range own[runtime.GOARCH] {
		_, _, errno := syscall.RawSyscall6(number, 0, 0, 0, 0, 0, 0)
		found[name] = refused(errno)
	}
	// Not to turn off the randomisation of addresses; the usual one, and the question, may be.
	for name, value := range map[string]uintptr{"usual": 0, "asked": 0xffffffff, "fixed": 0x0040000} {
		_, _, errno := syscall.RawSyscall(syscall.SYS_PERSONALITY, value, 0, 0)
		found["personality "+name] = refused(errno)
	}
	for _, flag := range []uintptr{0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000} {
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, flag|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 && pid == 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
		found["clone "+strconv.FormatUint(uint64(flag), 16)] = refused(errno)
	}
	say(found)
}

// refused names an error as C does; empty for none.
func refused(errno syscall.Errno) string {
	switch errno {
	case 0:
		return ""
	case syscall.EPERM:
		return "EPERM"
	case syscall.ENOSYS:
		return "ENOSYS"
	case syscall.EAFNOSUPPORT:
		return "EAFNOSUPPORT"
	}
	return errno.Error()
}

// families tells which families of sockets can be made, and the error of each that cannot.
func families([]string) {
	can := []int{}
	errors := map[string]bool{}
	for family := 0; family < 64; family++ {
		made := false
		for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_RAW, syscall.SOCK_SEQPACKET} {
			descriptor, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, uintptr(family), uintptr(kind), 0)
			if errno == 0 {
				made = true
				syscall.Close(int(descriptor))
			} else if family != syscall.AF_UNIX && family != syscall.AF_INET && family != syscall.AF_INET6 && family != syscall.AF_NETLINK {
				errors[refused(errno)] = true
			}
		}
		if made {
			can = append(can, family)
		}
	}
	// The kernel looks at the lower half of the argument only.
	_, _, high := syscall.RawSyscall(syscall.SYS_SOCKET, 1<<32|40, syscall.SOCK_STREAM, 0)
	_, pair := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	names := []string{}
	for name := range errors {
		names = append(names, name)
	}
	say(map[string]any{"can": can, "errors": names, "high": refused(high), "pair": words(pair)})
}

// special makes what no tree can hold: a pipe, and sockets in both ways; how each went.
func special(arguments []string) {
	folder := arguments[0]
	check(os.MkdirAll(folder, 0o755))
	found := map[string]string{}
	if len(arguments) > 1 {
		found["pipe"] = words(syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o644))
	}
	found["node"] = words(syscall.Mknod(filepath.Join(folder, "node"), syscall.S_IFSOCK|0o644, 0))
	found["device"] = words(syscall.Mknod(filepath.Join(folder, "device"), syscall.S_IFCHR|0o644, 0))
	socket, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check(err)
	found["bound"] = words(syscall.Bind(socket, &syscall.SockaddrUnix{Name: filepath.Join(folder, "socket")}))
	found["abstract"] = words(syscall.Bind(socket, &syscall.SockaddrUnix{Name: "@probe"}))
	say(found)
}

// first looks at what the first process has, and what keys the kernel shows.
func first([]string) {
	found := map[string]string{}
	for _, name := range []string{"mem", "environ", "maps", "auxv", "exe", "task/1/mem"} {
		found[name] = words(reading("/proc/1/" + name))
	}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, 16, 1, 0, 0, 0, 0)
	found["attach"] = refused(errno)
	found["keys"] = words(reading("/proc/keys"))
	say(found)
}

// paths tells what is seen of where things lie: the kernel's list of mounts, and every command line.
func paths([]string) {
	found := map[string]string{}
	for _, name := range []string{"/proc/self/mountinfo", "/proc/self/mounts", "/proc/self/mountstats"} {
		data, err := os.ReadFile(name)
		found[name] = string(data) + words(err)
	}
	all, err := names("/proc")
	check(err)
	for _, name := range all {
		if data, err := os.ReadFile("/proc/" + name + "/cmdline"); err == nil {
			found["/proc/"+name+"/cmdline"] = strings.ReplaceAll(string(data), "\x00", " ")
			link, _ := os.Readlink("/proc/" + name + "/exe")
			found["/proc/"+name+"/exe"] = link
		}
	}
	say(found)
}

// stall stops itself, and ends another copy of itself, as a shell's job control does.
func stall([]string) {
	check(syscall.Kill(os.Getpid(), syscall.SIGSTOP))
	_, _, errno := syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&syscall.Timespec{Nsec: 1e6})), 0, 0)
	say(map[string]any{"went on": refused(errno)})
}
