// Package pid1 is the first process of a Sourcery device: it mounts what has to
// be writable over the read-only stick, runs a shell on every console, inherits
// the orphans, and brings the machine down in good order.
//
// An initramfs, which is not part of this module, has found the stick, mounted it
// read-only as the root, and started us; what it has mounted besides is left as
// it is. Nothing here is fatal: a device that says what it lacks, and gives a
// shell, can be looked at, and one whose init ends is a kernel panic.
package pid1

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/kernelargs"
)

// An Init is the state of PID 1.
type Init struct {
	layout      device.Layout
	self        string // path of this program
	options     kernelargs.Options
	environment device.Environment
	reaper      *reaper
	stopping    atomic.Bool // no more shells are to be started
	mute        atomic.Bool // the console has not taken the last message
}

// Run is PID 1 from its start to the end of the machine. It does not return.
func Run(layout device.Layout) {
	i := &Init{layout: layout, reaper: newReaper(), self: filepath.Join(layout.Programs(), "init")}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go i.reaper.run(children)
	power := notifyPower()

	i.setUp()
	if len(i.options.Run) > 0 {
		go i.runOnce()
	} else {
		i.runShells()
	}
	for s := range power {
		if a, found := powerActions[s]; found {
			i.shutDown(a)
		}
	}
}

// notifyPower gives the signals to PID 1, all of them: one that nobody catches
// has no effect on PID 1 itself, but the Go runtime, which takes the rest for
// deadly, would exit after it, and the kernel panic.
func notifyPower() <-chan os.Signal {
	others := make(chan os.Signal, 1)
	signal.Notify(others)
	power := make(chan os.Signal, 4)
	for s := range powerActions {
		signal.Notify(power, s)
	}
	return power
}

// setUp makes the device usable. What does not work is reported and left out.
func (i *Init) setUp() {
	// A program that dies now must not take init with it: better a device with
	// half of its mounts than none.
	defer func() {
		if r := recover(); r != nil {
			i.say("internal error while setting up: %v", r)
		}
	}()
	syscall.Umask(0o022)
	os.Chdir("/")
	i.mountAll(earlyMounts)
	i.readOptions()
	i.mountAll(mounts)
	i.linkDevices()
	i.makePowerCommands()
	i.makeEtc()
	i.readEnvironment()
	i.check("host name", syscall.Sethostname([]byte(i.hostname())))
	i.check("loopback interface", raiseInterface("lo"))
	// Ctrl-Alt-Delete is to reach us as SIGINT, not to reset the machine.
	i.debugCheck("Ctrl-Alt-Delete", syscall.Reboot(syscall.LINUX_REBOOT_CMD_CAD_OFF))
	if !i.options.Debug {
		// SYSLOG_ACTION_CONSOLE_LEVEL, whose argument is the length: errors still
		// go to the console, other messages of the kernel would disturb the shell.
		const consoleLevel, errorsOnly = 8, 4
		_, err := syscall.Klogctl(consoleLevel, make([]byte, errorsOnly))
		i.debugCheck("kernel messages", err)
	}
}

func (i *Init) readOptions() {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		i.say("kernel command line: %v", err)
	}
	options, mistakes := kernelargs.Parse(string(line))
	for _, err := range mistakes {
		i.say("%v", err)
	}
	i.options = options
	i.debug("kernel command line: %s", strings.TrimSpace(string(line)))
}

// readEnvironment takes over the environment of builds for all that runs on the
// device, so that a "go build" typed by hand finds the seed's packages too.
func (i *Init) readEnvironment() {
	e, err := device.ReadEnvironment(i.layout)
	if err != nil {
		i.say("%v; commands cannot be compiled", err)
		e = e.With("PATH", i.layout.Commands()+":"+i.layout.Programs()).With("HOME", i.layout.Temporary())
	}
	e = withPowerCommands(e, i.layout)
	i.environment = e
	for _, key := range []string{"HOME", "GOCACHE", "GOPATH", "GOTMPDIR", "TMPDIR"} {
		if dir := e.Get(key); filepath.IsAbs(dir) {
			i.check(key, os.MkdirAll(dir, 0o755))
		}
	}
	i.check("GOTELEMETRY", setTelemetry(e))
}

// setTelemetry does what the environment says in GOTELEMETRY: the go command does
// not read that variable, but this file (internal/telemetry in the module
// golang.org/x/telemetry). With "off" it writes no counters, which nobody would read.
func setTelemetry(e device.Environment) error {
	home, mode := e.Get("HOME"), e.Get("GOTELEMETRY")
	if home == "" || mode == "" {
		return nil
	}
	file := filepath.Join(home, ".config/go/telemetry/mode")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(mode+"\n"), 0o644)
}

func (i *Init) hostname() string {
	if i.options.Hostname != "" {
		return i.options.Hostname
	}
	data, err := os.ReadFile("/etc/hostname")
	if name := strings.TrimSpace(string(data)); err == nil && name != "" {
		return name
	}
	return "sourcery"
}

// say writes to the console that the kernel has given us. Once that has taken
// nothing for a while, nobody waits for it any more.
func (i *Init) say(format string, args ...any) {
	limit := writeTime
	if i.mute.Load() {
		limit = muteTime
	}
	text := fmt.Sprintf("sourcery: "+format+"\n", args...)
	i.mute.Store(!within(limit, func() { os.Stderr.WriteString(text) }))
}

func (i *Init) debug(format string, args ...any) {
	if i.options.Debug {
		i.say(format, args...)
	}
}

// check reports an error of something that the device can live without.
func (i *Init) check(what string, err error) {
	if err != nil {
		i.say("%s: %v", what, err)
	}
}

// debugCheck is check for errors that are to be expected in a container.
func (i *Init) debugCheck(what string, err error) {
	if err != nil {
		i.debug("%s: %v", what, err)
	}
}
