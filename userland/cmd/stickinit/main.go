// Stickinit is /init of the initramfs: it loads the kernel modules that reach the
// stick, mounts it as the root, and becomes /linux_<arch>/bin/init on it.
//
// The initramfs has the modules, not compressed, as /modules/*.ko. The kernel
// command line says
//
//	sourcery.volume=XXXX-XXXX       the ID of the stick's FAT32 file system
//	sourcery.missing=shell|reboot   what to do where it is not found, or is found
//	                                twice; default shell
//	sourcery.debug                  say what is being done, and when
//
// Started as any other process it does nothing, and exits with status 2.
package main

import (
	"fmt"
	"os"
	"syscall"

	"sourcery/userland/internal/emergency"
	"sourcery/userland/internal/pid1"
	"sourcery/userland/internal/stick"
)

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == pid1.EmergencyFlag:
		emergency.IgnoreSignals()
		shell := &emergency.Shell{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Signal: signalInit}
		os.Exit(shell.Run())
	case os.Getpid() == 1:
		stick.Run()
	default:
		fmt.Fprintln(os.Stderr, "stickinit: this is the first process of an initramfs; it only runs as process 1, which the kernel starts.")
		os.Exit(2)
	}
}

func signalInit(s syscall.Signal) error { return syscall.Kill(1, s) }
