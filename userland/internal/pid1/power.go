package pid1

import (
	"os"
	"slices"
	"syscall"
	"time"

	"sourcery/userland/internal/mountinfo"
)

// A powerAction is an end of the machine.
type powerAction struct {
	words   string
	command int // for reboot(2)
}

var (
	halt     = powerAction{"halting", syscall.LINUX_REBOOT_CMD_HALT}
	powerOff = powerAction{"powering off", syscall.LINUX_REBOOT_CMD_POWER_OFF}
	reboot   = powerAction{"rebooting", syscall.LINUX_REBOOT_CMD_RESTART}
)

// powerActions are what signals to PID 1 mean, as in busybox's init. SIGINT is
// the kernel's for Ctrl-Alt-Delete.
var powerActions = map[os.Signal]powerAction{
	syscall.SIGUSR1: halt,
	syscall.SIGUSR2: powerOff,
	syscall.SIGTERM: reboot,
	syscall.SIGINT:  reboot,
}

// Times that processes get to end, after SIGTERM and after SIGKILL.
const (
	politeTime = 3 * time.Second
	killTime   = time.Second
)

// shutDown ends all processes, writes everything to the disks that the user has
// mounted, and stops the machine. The stick itself has never been written to.
func (i *Init) shutDown(a powerAction) {
	if !i.stopping.CompareAndSwap(false, true) {
		return // it is being stopped already, and some process's end has made us ask again
	}
	// Before the first word: from here on nothing may wait for a console.
	within(writeTime, i.resumeConsoles)
	i.say("%s", a.words)
	// A shell ignores SIGTERM but leaves when its terminal does, and a stopped
	// process notices neither before it goes on.
	i.end(politeTime, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGCONT)
	i.end(killTime, syscall.SIGKILL)
	syscall.Sync()
	i.unmountAll()
	err := syscall.Reboot(a.command)
	i.say("%s: %v; it is safe to switch the machine off", a.words, err)
}

// end signals all processes but us, and waits until none is left, or until it has
// taken too long.
func (i *Init) end(limit time.Duration, signals ...syscall.Signal) {
	for _, s := range signals {
		i.debugCheck(s.String(), ignoring(syscall.Kill(-1, s), syscall.ESRCH))
	}
	const step = 10 * time.Millisecond
	for waited := time.Duration(0); i.reaper.reap() && waited < limit; waited += step {
		time.Sleep(step)
	}
}

// volatile are file systems that have nothing to lose.
var volatile = []string{"proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "ramfs", "rootfs", "cgroup2", "debugfs", "overlay"}

// unmountAll unmounts the disks, the last one first, and makes read-only what is
// busy in spite of everything.
func (i *Init) unmountAll() {
	mounted, err := mountinfo.Read()
	if err != nil {
		i.say("unmounting: %v", err)
		return
	}
	for _, m := range slices.Backward(mounted) {
		if m.Path == "/" || slices.Contains(volatile, m.Kind) {
			continue
		}
		err := syscall.Unmount(m.Path, 0)
		i.debug("unmounting %s: %v", m.Path, err)
		if err == nil {
			continue
		}
		err = syscall.Mount("", m.Path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		i.check("making "+m.Path+" read-only", err)
	}
}
