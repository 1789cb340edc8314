package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

var processAttempts = map[string]attempt{
	"signal-machine":        func() result { return tried(syscall.Kill(order.Process, syscall.SIGKILL)) },
	"signal-machine-group":  func() result { return tried(syscall.Kill(-order.Process, syscall.SIGKILL)) },
	"signal-machine-queued": signalQueued,
	"signal-machine-pidfd":  signalDescriptor,
	"signal-first-kill":     func() result { return survives(syscall.SIGKILL) },
	"signal-first-stop":     func() result { return survives(syscall.SIGSTOP) },
	"trace-first":           func() result { return tried(syscall.PtraceAttach(1)) },
	"trace-first-seize":     calling(syscall.SYS_PTRACE, 0x4206, 1, 0, 0),
	"trace-machine":         func() result { return tried(syscall.PtraceAttach(order.Process)) },
	"trace-own-child":       traceChild,
	"read-first-memory":     func() result { return vector(sysProcessVMReadv, 1) },
	"write-first-memory":    func() result { return vector(sysProcessVMWritev, 1) },
	"read-machine-memory":   func() result { return vector(sysProcessVMReadv, order.Process) },
	"compare-first":         calling(sysKcmp, 1, 1, 0, 0, 0),
	"take-first-descriptor": takeDescriptor,
	"advise-first-memory":   adviseMemory,
	"move-first-pages":      calling(syscall.SYS_MIGRATE_PAGES, 1, 64, buffer(make([]byte, 8)), buffer(make([]byte, 8))),
	"move-own-pages":        calling(syscall.SYS_MOVE_PAGES, 0, 0, 0, 0, 0, 0),
	"memory-policy":         calling(syscall.SYS_SET_MEMPOLICY, 0, 0, 0),
	"first-processors":      calling(syscall.SYS_SCHED_SETAFFINITY, 1, 8, buffer([]byte{1, 0, 0, 0, 0, 0, 0, 0})),
	"first-session":         calling(syscall.SYS_SETPGID, 1, 1),
}

func signalQueued() result {
	information := make([]byte, 128)
	return call(syscall.SYS_RT_SIGQUEUEINFO, uintptr(order.Process), 9, buffer(information))
}

func signalDescriptor() result {
	descriptor, _, fault := syscall.Syscall(sysPidfdOpen, uintptr(order.Process), 0, 0)
	if fault != 0 {
		return no(fault)
	}
	return call(sysPidfdSendSignal, descriptor, 9, 0, 0)
}

// survives sends the first process a signal; this namespace would end or stop with it.
func survives(number syscall.Signal) result {
	if err := syscall.Kill(1, number); err != nil {
		return no(err)
	}
	time.Sleep(20 * time.Millisecond)
	state, err := os.ReadFile("/proc/1/status")
	return yes("sent, and it goes on: ", len(state) > 0 && err == nil)
}

func traceChild() result {
	child := exec.Command(os.Args[0], "names")
	child.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := child.Start(); err != nil {
		return no(err)
	}
	child.Process.Kill()
	return yes("process ", child.Process.Pid)
}

// vector copies between this process's memory and another's: struct iovec.
func vector(number uintptr, process int) result {
	here := make([]byte, 8)
	local := []uint64{uint64(address(here)), 8}
	remote := []uint64{0x400000, 8}
	found := call(number, uintptr(process), pointer(local), 1, pointer(remote), 1, 0)
	if found.Outcome == possible && found.Detail == fmt.Sprint("reached: ", syscall.EFAULT) {
		return yes("allowed, at an address that is not there")
	}
	return found
}

func takeDescriptor() result {
	descriptor, _, fault := syscall.Syscall(sysPidfdOpen, 1, 0, 0)
	if fault != 0 {
		return no(fault)
	}
	return call(sysPidfdGetfd, descriptor, 0, 0)
}

// adviseMemory and the kernel's own reaper: both want CAP_SYS_NICE or a dying process.
func adviseMemory() result {
	descriptor, _, fault := syscall.Syscall(sysPidfdOpen, 1, 0, 0)
	if fault != 0 {
		return no(fault)
	}
	remote := []uint64{0x400000, 4096}
	const cold = 20
	return call(sysProcessMadvise, descriptor, pointer(remote), 1, cold, 0)
}
