package main

import (
	"os"
	"syscall"
)

// Calls that reach parts of the kernel that no build needs.
var kernelAttempts = map[string]attempt{
	"kernel-bpf-map":          calling(sysBpf, 0, buffer([]byte{2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}), 20),
	"kernel-bpf-program":      calling(sysBpf, 5, buffer(make([]byte, 128)), 128),
	"kernel-perf-self":        perf(0),
	"kernel-perf-machine":     perf(-1),
	"kernel-io-uring":         calling(sysIoUringSetup, 4, buffer(make([]byte, 120))),
	"kernel-fault-handling":   calling(sysUserfaultfd, 0),
	"kernel-fault-user-only":  calling(sysUserfaultfd, 1),
	"kernel-secret-memory":    calling(sysMemfdSecret, 0),
	"kernel-kexec":            calling(syscall.SYS_KEXEC_LOAD, 0, 0, 0, 0),
	"kernel-kexec-file":       calling(sysKexecFileLoad, at(-1), at(-1), 0, 0, 0),
	"kernel-module":           calling(syscall.SYS_INIT_MODULE, buffer(make([]byte, 64)), 64, text("")),
	"kernel-module-file":      calling(sysFinitModule, at(-1), text(""), 0),
	"kernel-module-remove":    calling(syscall.SYS_DELETE_MODULE, text("hostile"), 0),
	"kernel-fanotify":         calling(syscall.SYS_FANOTIFY_INIT, 0, 0),
	"kernel-fanotify-user":    calling(syscall.SYS_FANOTIFY_INIT, 0x200, 0),
	"kernel-cookie":           calling(syscall.SYS_LOOKUP_DCOOKIE, 1, buffer(make([]byte, 64)), 64),
	"kernel-cache-stat":       cacheStat,
	"kernel-modules-of-lsm":   calling(sysLsmListModules, buffer(make([]byte, 64)), buffer([]byte{64, 0, 0, 0}), 0),
	"kernel-memory-release":   releaseMemory,
	"kernel-home-node":        calling(sysSetMempolicyHome, 0, 0, 0, 0),
	"kernel-splice-user":      spliceUser,
	"kernel-personality":      calling(syscall.SYS_PERSONALITY, 0x0400000),
	"kernel-old-release-name": oldRelease,
	"kernel-nfs-server":       calling(syscall.SYS_NFSSERVCTL, 0, 0, 0),
	"kernel-unknown-call":     calling(1000),
	"kernel-own-filter":       calling(sysSeccomp, 1, 8, 0),
	"kernel-landlock":         calling(sysLandlockCreate, 0, 0, 1),
}

func perf(process int) attempt {
	return func() result {
		// A software event that counts time: struct perf_event_attr.
		event := make([]byte, 120)
		event[0], event[4] = 1, 120
		processor := 0
		if process == 0 {
			processor = -1
		}
		return call(syscall.SYS_PERF_EVENT_OPEN, buffer(event), at(process), at(processor), at(-1), 0)
	}
}

// cacheStat asks how much of a file somebody has read lately.
func cacheStat() result {
	file, err := os.Open(inputFile)
	check(err)
	return call(sysCachestat, file.Fd(), buffer(make([]byte, 16)), buffer(make([]byte, 40)), 0)
}

func releaseMemory() result {
	descriptor, _, fault := syscall.Syscall(sysPidfdOpen, 1, 0, 0)
	if fault != 0 {
		return no(fault)
	}
	return call(sysProcessMrelease, descriptor, 0)
}

// spliceUser lends memory to a pipe, which some flaws of kernels were about.
func spliceUser() result {
	ends := make([]int, 2)
	check(syscall.Pipe(ends))
	page := make([]byte, 4096)
	vectors := []uint64{uint64(address(page)), 4096}
	return call(syscall.SYS_VMSPLICE, uintptr(ends[1]), pointer(vectors), 1, 0)
}

// oldRelease asks the kernel to call itself 2.6.
func oldRelease() result {
	return call(syscall.SYS_PERSONALITY, 0x0020000)
}
