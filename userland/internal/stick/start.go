// Package stick is the first process of the initramfs: it loads the drivers of
// the machine, finds the stick by the ID of its file system, makes it the root,
// and becomes the init that is on it.
//
// Where that cannot be done it says what it has seen, and gives a shell or starts
// the machine again, as the kernel command line wants it.
package stick

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"sourcery/userland/internal/kernelargs"
	"sourcery/userland/internal/kmodule"
	"sourcery/userland/internal/pid1"
)

// modules is the directory of the initramfs with the modules' files.
const modules = "/modules"

// rebootAfter is how long a message can be read before a reboot.
const rebootAfter = 10 * time.Second

// A starter is the state of the initramfs's first process.
type starter struct {
	options kernelargs.Options
	begun   time.Time
}

// Run is process 1 from its start until it is another program, or the machine
// ends. It does not return.
func Run() {
	s := &starter{begun: time.Now()}
	err := s.start()
	s.say("%s", strings.TrimRight(err.Error(), "\n"))
	if s.options.Missing == kernelargs.MissingReboot {
		s.reboot()
	}
	s.say(`"exit" looks for the stick again, "reboot" starts the machine again`)
	pid1.Rescue(again)
}

// start only returns with the reason why the stick was not started.
func (s *starter) start() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	s.mountKernelFileSystems()
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		s.say("kernel command line: %v", err)
	}
	options, mistakes := kernelargs.Parse(string(line))
	for _, err := range mistakes {
		s.say("%v", err)
	}
	s.options = options
	s.debug("kernel command line: %s", strings.TrimSpace(string(line)))
	if options.Volume == "" {
		return errors.New("the kernel command line does not say which stick to start from: it has no sourcery.volume=XXXX-XXXX")
	}
	m := machine{sys: "/sys", dev: "/dev"}
	found, err := s.find(m)
	if err != nil {
		return err
	}
	if err := m.mount(found); err != nil {
		return err
	}
	s.debug("%s is mounted", found)
	return enter(mountPoint)
}

// mountKernelFileSystems mounts what shows the machine. EBUSY: it is there already.
func (s *starter) mountKernelFileSystems() {
	const common = syscall.MS_NOSUID | syscall.MS_NOEXEC
	for _, m := range []struct {
		kind, target, options string
		flags                 uintptr
	}{
		{"devtmpfs", "/dev", "mode=0755", syscall.MS_NOSUID},
		{"proc", "/proc", "", common | syscall.MS_NODEV},
		{"sysfs", "/sys", "", common | syscall.MS_NODEV},
	} {
		err := os.MkdirAll(m.target, 0o755)
		if err == nil {
			err = syscall.Mount(m.kind, m.target, m.kind, m.flags, m.options)
		}
		if err != nil && !errors.Is(err, syscall.EBUSY) {
			s.say("mounting %s on %s: %v", m.kind, m.target, err)
		}
	}
}

// find gives the one device with the stick's volume. The error says what else
// there is.
func (s *starter) find(m machine) (blockDevice, error) {
	loader, mistakes := kmodule.Open(modules)
	for _, err := range mistakes {
		s.say("%v", err)
	}
	s.debug("%d modules read", len(loader.Names()))
	d := newDrivers(m, loader)
	look := make(chan struct{}, 1)
	s.checkDebug("watching devices", watch(d.wake, look))
	stop := make(chan struct{})
	go d.serve(stop)
	search := &search{
		machine: m, volume: s.options.Volume, limit: patience, say: s.say,
		loading: d.busy,
		idle:    d.idle.Load,
		loadAll: func() { d.all.Store(true); poke(d.wake) },
	}
	found := search.run(look)
	close(stop)
	report := d.finish()
	s.debug("%s", report)
	switch len(found) {
	case 0:
		return blockDevice{}, errors.New(search.missing() + report)
	case 1:
		return found[0], nil
	}
	return blockDevice{}, errors.New(search.ambiguous(found))
}

// again makes this process start anew.
func again() error {
	return syscall.Exec("/proc/self/exe", []string{"init"}, os.Environ())
}

func (s *starter) reboot() {
	s.say("starting the machine again in %d seconds", int(rebootAfter.Seconds()))
	time.Sleep(rebootAfter)
	syscall.Sync()
	err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	s.say("rebooting: %v", err)
}

func (s *starter) say(format string, args ...any) {
	pid1.Print(fmt.Sprintf("sourcery: "+format+"\n", args...))
}

// debug is say, with the time since the start, where sourcery.debug asks for it.
func (s *starter) debug(format string, args ...any) {
	if s.options.Debug {
		s.say("%4d ms: "+format, append([]any{time.Since(s.begun).Milliseconds()}, args...)...)
	}
}

func (s *starter) checkDebug(what string, err error) {
	if err != nil {
		s.debug("%s: %v", what, err)
	}
}
