package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"
)

// Kinds of namespaces: linux/sched.h, and the names of /proc/PID/ns.
var kinds = map[string]uintptr{
	"user": 0x10000000, "mnt": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000,
	"uts": 0x4000000, "cgroup": 0x2000000, "time": 0x80,
}

var namespaceAttempts = func() map[string]attempt {
	all := map[string]attempt{
		"namespace-clone":       cloneUser,
		"namespace-clone3":      clone3User,
		"namespace-clone-all":   cloneAll,
		"namespace-by-process":  joinProcess,
		"namespace-user-parent": userParent,
	}
	for kind, flag := range kinds {
		all["namespace-make-"+kind] = func(flag uintptr) attempt {
			return func() result { return call(syscall.SYS_UNSHARE, flag) }
		}(flag)
		all["namespace-join-"+kind] = func(kind string, flag uintptr) attempt {
			return func() result { return join(kind, flag) }
		}(kind, flag)
	}
	return all
}()

// join enters the first process's namespace, where that is another one than this process's.
func join(kind string, flag uintptr) result {
	file, err := os.Open("/proc/1/ns/" + kind)
	if err != nil {
		return no(err)
	}
	defer file.Close()
	before, err := os.Readlink("/proc/self/ns/" + kind)
	check(err)
	found := call(sysSetns, file.Fd(), flag)
	after, err := os.Readlink("/proc/thread-self/ns/" + kind)
	check(err)
	if found.Outcome == possible && before == after {
		return no("it is this action's own, and stays so: ", found.Detail)
	}
	return found
}

func cloneUser() result {
	child := exec.Command(os.Args[0], "names")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
	}
	return tried(child.Run())
}

func cloneAll() result {
	child := exec.Command(os.Args[0], "names")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
	}
	return tried(child.Run())
}

// clone3User makes a process in a user namespace by the newer call: struct clone_args.
func clone3User() result {
	arguments := make([]uint64, 11)
	arguments[0] = uint64(kinds["user"])
	arguments[4] = uint64(syscall.SIGCHLD)
	got, _, fault := syscall.RawSyscall(sysClone3, uintptr(unsafe.Pointer(&arguments[0])), 88, 0)
	if fault != 0 {
		return no(fault)
	}
	if got == 0 {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return yes("process ", got)
}

// joinProcess enters every namespace of the first process by one descriptor.
func joinProcess() result {
	descriptor, _, fault := syscall.Syscall(sysPidfdOpen, 1, 0, 0)
	if fault != 0 {
		return no(fault)
	}
	return call(sysSetns, descriptor, kinds["mnt"]|kinds["net"]|kinds["pid"])
}

// userParent asks for the user namespace around this one.
func userParent() result {
	file, err := os.Open("/proc/self/ns/user")
	if err != nil {
		return no(err)
	}
	const getParent = 0xb702
	found := call(syscall.SYS_IOCTL, file.Fd(), getParent)
	return result{Outcome: found.Outcome, Detail: fmt.Sprint("ioctl: ", found.Detail)}
}
