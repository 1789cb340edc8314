package main

import (
	"syscall"
)

// System V and POSIX objects that have names of their own, outside of every file system.
var shareAttempts = map[string]attempt{
	"ipc-find-memory":     func() result { return shared(syscall.SYS_SHMGET, uintptr(order.Queue), 1, 0) },
	"ipc-find-semaphores": func() result { return shared(syscall.SYS_SEMGET, uintptr(order.Queue), 0, 0) },
	"ipc-find-messages":   func() result { return shared(syscall.SYS_MSGGET, uintptr(order.Queue), 0) },
	"ipc-machine-memory":  byNumber,
	"ipc-listing":         sharedListing,
}

func shared(number uintptr, arguments ...uintptr) result { return call(number, arguments...) }

func sharedListing() result {
	for _, kind := range []string{"shm", "sem", "msg"} {
		if found := reading("/proc/sysvipc/" + kind)(); found.Outcome == possible {
			return countLines("/proc/sysvipc/" + kind)
		}
	}
	return no("there is no listing")
}

// byNumber looks at segments without a key: SHM_STAT says that a number is wrong where there is none.
func byNumber() result {
	const look = 13
	for number := uintptr(0); number < 256; number++ {
		_, _, fault := syscall.Syscall(syscall.SYS_SHMCTL, number, look, buffer(make([]byte, 256)))
		if fault == 0 {
			return yes("number ", number)
		}
	}
	return no("none")
}
