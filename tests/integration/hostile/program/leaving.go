package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// What one action leaves for the next: the names that begin with `leave` run in the first of two
// actions, those that begin with `left` in the second.
var leavingAttempts = map[string]attempt{
	"leave-file-tmp":    func() result { return tried(os.WriteFile("/tmp/left-"+order.Token, nil, 0o666)) },
	"leave-file-work":   func() result { return tried(os.WriteFile("/work/left-"+order.Token, nil, 0o666)) },
	"leave-memory":      func() result { return call(syscall.SYS_SHMGET, uintptr(order.Queue+1), 4096, 0o1666) },
	"leave-messages":    func() result { return call(syscall.SYS_MSGGET, uintptr(order.Queue+1), 0o1666) },
	"leave-queue":       func() result { return posixQueue(0o102) },
	"leave-key-session": func() result { return plant(sessionRing) },
	"leave-key-user":    func() result { return plant(userRing) },
	"leave-process":     leaveProcess,
	"left-file-tmp":     func() result { return opening("/tmp/left-"+order.Token, os.O_RDONLY)() },
	"left-file-work":    func() result { return opening("/work/left-"+order.Token, os.O_RDONLY)() },
	"left-memory":       func() result { return call(syscall.SYS_SHMGET, uintptr(order.Queue+1), 1, 0) },
	"left-messages":     func() result { return call(syscall.SYS_MSGGET, uintptr(order.Queue+1), 0) },
	"left-queue":        func() result { return posixQueue(0) },
	"left-key-session":  func() result { return search(sessionRing, planted()) },
	"left-key-user":     func() result { return search(userRing, planted()) },
	"left-process":      leftProcess,
}

func posixQueue(flags uintptr) result {
	return call(syscall.SYS_MQ_OPEN, text("left-"+order.Token), flags, 0o666, 0)
}

func leaveProcess() result {
	child := exec.Command(os.Args[0], "one", os.Args[2], "child")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return tried(child.Start())
}

// leftProcess looks for a process that the action before left: all here are the batch's.
func leftProcess() result {
	folders, err := os.ReadDir("/proc")
	check(err)
	for _, folder := range folders {
		line, err := os.ReadFile("/proc/" + folder.Name() + "/cmdline")
		if err == nil && len(line) > 6 && string(line[len(line)-6:]) == "child\x00" {
			return yes("process ", folder.Name())
		}
	}
	return no(fmt.Sprint("none among ", len(folders)))
}
