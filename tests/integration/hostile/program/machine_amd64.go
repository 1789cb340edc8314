package main

import (
	"runtime"
	"syscall"
	"time"
)

// int80 makes a system call by the interface of 32-bit programs, with their numbers.
func int80(number, first, second, third uint32) int32

// Ways into the kernel that only this architecture has.
var machineAttempts = map[string]attempt{
	"machine-io-level":       calling(syscall.SYS_IOPL, 3),
	"machine-io-ports":       calling(syscall.SYS_IOPERM, 0x70, 2, 1),
	"machine-local-table":    calling(syscall.SYS_MODIFY_LDT, 0, buffer(make([]byte, 64)), 64),
	"machine-old-statistics": calling(syscall.SYS_USTAT, 0, buffer(make([]byte, 64))),
	"machine-old-library":    calling(syscall.SYS_USELIB, text("/bin/hostile")),
	"machine-old-sysfs":      calling(syscall.SYS_SYSFS, 3),
	"machine-old-sysctl":     calling(syscall.SYS__SYSCTL, buffer(make([]byte, 64))),
	"machine-i386-call":      func() result { return old(20, 0, 0, 0) },
	"machine-i386-unshare":   func() result { return old(310, 0x10000000, 0, 0) },
	"machine-i386-socket":    func() result { return old(359, 40, 1, 0) },
	"machine-i386-key":       func() result { return old(288, 0, ^uint32(2), 0) },
	"machine-x32-call":       foreign(syscall.SYS_GETPID),
	"machine-x32-socket":     foreign(syscall.SYS_SOCKET, 40, 1, 0),
	"machine-x32-trace":      foreign(521, 0x4206, 1, 0, 0),
}

func old(number, first, second, third uint32) result {
	return onThread(func() result {
		got := int80(number, first, second, third)
		if got < 0 && got > -4096 {
			return no(syscall.Errno(-got))
		}
		return yes("returned ", got)
	})
}

// foreign makes a call by the numbers of the x32 interface.
func foreign(number uintptr, arguments ...uintptr) attempt {
	return func() result {
		return onThread(calling(0x40000000|number, arguments...))
	}
}

// onThread makes an attempt on a thread of its own: a filter may end that, and that only.
func onThread(try attempt) result {
	came := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		came <- try()
	}()
	select {
	case found := <-came:
		return found
	case <-time.After(100 * time.Millisecond):
		return no("the thread was ended")
	}
}
