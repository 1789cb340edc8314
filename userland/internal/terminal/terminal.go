// Package terminal asks the kernel about terminals, with the few ioctls that the
// programs of this module need.
package terminal

import (
	"syscall"
	"unsafe"
)

// A State is a terminal's line discipline settings, to be put back after a
// program that has left them in disorder.
type State struct{ termios syscall.Termios }

// A Size is in characters.
type Size struct{ Rows, Columns uint16 }

// winsize is struct winsize of include/uapi/asm-generic/termios.h.
type winsize struct{ rows, columns, xpixel, ypixel uint16 }

// Is reports whether the file descriptor is a terminal.
func Is(fd int) bool {
	_, err := GetState(fd)
	return err == nil
}

// GetState gives the settings of a terminal, and an error for anything else.
func GetState(fd int) (State, error) {
	var s State
	err := ioctl(fd, syscall.TCGETS, unsafe.Pointer(&s.termios))
	return s, err
}

// SetState gives a terminal the settings s.
func SetState(fd int, s State) error {
	return ioctl(fd, syscall.TCSETS, unsafe.Pointer(&s.termios))
}

// GetSize gives the size of a terminal; a serial line has 0 by 0 until someone
// says otherwise.
func GetSize(fd int) (Size, error) {
	var w winsize
	err := ioctl(fd, syscall.TIOCGWINSZ, unsafe.Pointer(&w))
	return Size{w.rows, w.columns}, err
}

// SetSize tells the kernel, and through it the programs, the size of a terminal.
func SetSize(fd int, s Size) error {
	w := winsize{rows: s.Rows, columns: s.Columns}
	return ioctl(fd, syscall.TIOCSWINSZ, unsafe.Pointer(&w))
}

// Of include/uapi/asm-generic/ioctls.h and termbits-common.h.
const (
	tcxonc = 0x540A
	tcooff = 0
	tcoon  = 1
)

// Resume lets output go on that Ctrl-S has stopped. By itself TCOON only undoes
// TCOOFF, so that comes first (n_tty_ioctl_helper in the kernel's
// drivers/tty/tty_ioctl.c).
func Resume(fd int) error {
	for _, action := range []uintptr{tcooff, tcoon} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tcxonc, action); errno != 0 {
			return errno
		}
	}
	return nil
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	for {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
		if errno == 0 {
			return nil
		}
		if errno != syscall.EINTR {
			return errno
		}
	}
}
