package main

import (
	"os"
	"syscall"
)

var terminalAttempts = map[string]attempt{
	"terminal-own":        opening("/dev/tty", os.O_RDWR),
	"terminal-console":    opening("/dev/console", os.O_RDWR),
	"terminal-virtual":    opening("/dev/tty1", os.O_RDWR),
	"terminal-serial":     opening("/dev/ttyS0", os.O_RDWR),
	"terminal-of-others":  opening("/dev/pts/0", os.O_RDWR),
	"terminal-insert":     insert,
	"terminal-selection":  selection,
	"terminal-steal":      steal,
	"terminal-new":        newTerminal,
	"terminal-discipline": discipline,
}

// insert pushes a letter into whatever terminal one of the streams is: TIOCSTI.
func insert() result { return onStreams(0x5412, buffer([]byte("x"))) }

// selection pastes on a virtual console: TIOCLINUX.
func selection() result { return onStreams(0x541C, buffer([]byte{3, 0})) }

// steal takes a terminal from the session that has it: TIOCSCTTY.
func steal() result {
	syscall.Setsid()
	return onStreams(0x540E, 1)
}

// discipline puts a line discipline of the kernel's on one of the streams: TIOCSETD.
func discipline() result { return onStreams(0x5423, buffer([]byte{15, 0, 0, 0})) }

func onStreams(request, argument uintptr) result {
	found := no("there is no terminal")
	for descriptor := uintptr(0); descriptor < 3; descriptor++ {
		_, _, fault := syscall.Syscall(syscall.SYS_IOCTL, descriptor, request, argument)
		if fault == 0 {
			return yes("on descriptor ", descriptor)
		}
		found = no(fault)
	}
	return found
}

// newTerminal makes a terminal of its own, which is not on the way to anybody.
func newTerminal() result {
	file, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return no(err)
	}
	defer file.Close()
	return yes("one of its own")
}
