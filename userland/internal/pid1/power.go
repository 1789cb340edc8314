package pid1

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// powerCommands are the commands that end the machine in good order: scripts in
// /bin, before all others in PATH, whose interpreter is the init program. They
// need no compiler and next to no memory. What a source brings under these names
// may well be a bare reboot(2), which loses what is not written yet.
var powerCommands = map[string]syscall.Signal{
	"halt":     syscall.SIGUSR1,
	"poweroff": syscall.SIGUSR2,
	"reboot":   syscall.SIGTERM,
}

// makePowerCommands puts them into the directory of commands.
func (i *Init) makePowerCommands() {
	for name := range powerCommands {
		script := "#!" + i.self + " -" + name + "\n"
		i.check(name, os.WriteFile(filepath.Join(i.layout.Commands(), name), []byte(script), 0o755))
	}
}

// PowerSignal gives the signal to PID 1 that the init program, started by one of
// these scripts, is to send.
func PowerSignal(arguments []string) (s syscall.Signal, found bool) {
	if len(arguments) == 0 || !strings.HasPrefix(arguments[0], "-") {
		return 0, false
	}
	s, found = powerCommands[arguments[0][1:]]
	return s, found
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
