// Init is the first process of a Sourcery device. It mounts /proc, /sys, /dev and
// memory for /bin, /tmp and /run, gives every program the environment that the
// compile seed was made in, runs a shell on every console, and stops the machine.
//
// The kernel command line may say
//
//	sourcery.shell=NAME[,NAME...]          which shell, the first that is there; default gosh
//	sourcery.run="COMMAND ARGUMENT..."     run this instead, print "sourcery: run exited with
//	                                       status N" on the console, and power off
//	sourcery.hostname=NAME                 default sourcery, or what /etc/hostname says
//	sourcery.debug                         say what is being done
//
// Signals to PID 1, as in busybox: SIGUSR1 halts, SIGUSR2 powers off, SIGTERM and
// SIGINT (Ctrl-Alt-Delete) reboot.
//
// As the interpreter of the scripts halt, poweroff, reboot and shutdown, which it
// has put into /bin and /run/power, it sends itself these signals. Started as any
// other process it does nothing, and exits with status 2.
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/emergency"
	"sourcery/userland/internal/pid1"
)

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == pid1.EmergencyFlag:
		emergency.IgnoreSignals()
		shell := &emergency.Shell{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Signal: signalInit}
		os.Exit(shell.Run())
	case os.Getpid() == 1:
		pid1.Run(device.Here())
	case ask(os.Args[1:]):
	default:
		fmt.Fprintln(os.Stderr, "init: this is the first process of a Sourcery device; it only runs as process 1, which the kernel starts.\n"+
			"To stop the machine use poweroff or reboot.")
		os.Exit(2)
	}
}

// patience is how long the machine may take before it has ended us, too.
const patience = 30 * time.Second

// ask does what these scripts are for, and reports whether this is one.
func ask(arguments []string) bool {
	s, found, err := pid1.PowerSignal(arguments)
	if !found {
		return false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err = signalInit(s); err == nil {
		time.Sleep(patience)
		err = fmt.Errorf("the machine has not stopped after %v", patience)
	}
	fmt.Fprintf(os.Stderr, "init: %v\n", err)
	os.Exit(1)
	return true
}

func signalInit(s syscall.Signal) error { return syscall.Kill(1, s) }
