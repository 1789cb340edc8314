package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/install"
)

// defaultShell is a command of u-root, compiled when the first console wants it.
const defaultShell = "gosh"

// runShells keeps a shell on each console from now on.
func (i *Init) runShells() {
	for _, c := range i.findConsoles() {
		go i.serve(c)
	}
}

// serve runs one shell after the other on a console. Where none of those that
// are wanted can be started, it is the emergency shell's turn.
func (i *Init) serve(c *console) {
	c.print(i.message())
	var wait time.Duration
	for {
		begun := time.Now()
		if err := i.shell(c); err != nil {
			c.print(fmt.Sprintf("sourcery: %v\n", err))
			_, err := i.session(c, []string{i.self, EmergencyFlag})
			i.check(c.path, err)
		}
		wait = pause(wait, time.Since(begun))
		time.Sleep(wait)
		if i.stopping.Load() {
			return
		}
	}
}

// EmergencyFlag makes the init program the emergency shell.
const EmergencyFlag = "-emergency"

// pause says how long to wait before the next shell, given the last such time and
// how long the last shell has lived: a console that does not work must not keep
// the machine busy, a user who has said exit should not notice.
func pause(last, lived time.Duration) time.Duration {
	const short, longest = 2 * time.Second, 32 * time.Second
	if lived >= short {
		return 0
	}
	return min(max(2*last, time.Second/2), longest)
}

// shell runs the first shell that is there until it ends. The error says why
// there is none.
func (i *Init) shell(c *console) error {
	names := i.options.Shells
	if len(names) == 0 {
		names = []string{defaultShell}
	}
	var failures []error
	for _, name := range names {
		path, err := i.lookPath(name)
		if err == nil {
			var status int
			status, err = i.session(c, []string{path})
			if err == nil && !i.neverStarted(path, status) {
				return nil
			}
			if err == nil {
				err = fmt.Errorf("%s: could not be compiled", name)
			}
		}
		failures = append(failures, err)
	}
	return fmt.Errorf("no shell: %w", errors.Join(failures...))
}

// neverStarted reports whether an exit status is not that of a command, but of
// installcommand, which could not make it. A shell ends with the status of its
// last command, so the status alone does not tell.
func (i *Init) neverStarted(path string, status int) bool {
	if status != install.StatusCannotRun && status != install.StatusNotFound {
		return false
	}
	if filepath.Dir(path) != i.layout.Programs() {
		return false
	}
	_, err := os.Stat(filepath.Join(i.layout.Commands(), filepath.Base(path)))
	return errors.Is(err, fs.ErrNotExist)
}

// runOnce runs the command that the kernel command line asks for, tells its
// status to whoever watches the console, and powers off.
func (i *Init) runOnce() {
	consoles := i.findConsoles()
	c := consoles[len(consoles)-1]
	status := install.StatusNotFound
	path, err := i.lookPath(i.options.Run[0])
	if err == nil {
		argv := append([]string{path}, i.options.Run[1:]...)
		if status, err = i.session(c, argv); err != nil {
			status = install.StatusCannotRun
		}
	}
	if err != nil {
		c.print(fmt.Sprintf("sourcery: run: %v\n", err))
	}
	c.print(fmt.Sprintf("sourcery: run exited with status %d\n", status))
	i.shutDown(powerOff)
}

// session runs a program, by its path and with its arguments, on a console of
// which it is the master, and gives its exit status.
func (i *Init) session(c *console, argv []string) (int, error) {
	fd, err := c.open()
	if err != nil {
		return 0, err
	}
	environment := i.environment.With("TERM", c.terminalType())
	attr := &syscall.ProcAttr{
		Dir:   i.home(),
		Env:   environment.Pairs(),
		Files: []uintptr{uintptr(fd), uintptr(fd), uintptr(fd)},
		// A session of its own, and the console as its controlling terminal: Ctrl-C
		// reaches the program in the foreground, and job control works.
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0},
	}
	name := filepath.Base(argv[0])
	i.debug("%s: starting %s", c.path, strings.Join(argv, " "))
	ended, err := i.reaper.start(argv[0], slices.Concat([]string{name}, argv[1:]), attr)
	syscall.Close(fd)
	if err != nil {
		return 0, err
	}
	status := exitStatus(<-ended)
	i.debug("%s: %s ended with status %d", c.path, name, status)
	return status, nil
}

// home gives the directory that a session begins in.
func (i *Init) home() string {
	if home := i.environment.Get("HOME"); home != "" {
		if info, err := os.Stat(home); err == nil && info.IsDir() {
			return home
		}
	}
	return "/"
}

// lookPath finds a program in the PATH of the device.
func (i *Init) lookPath(name string) (string, error) {
	return lookPath(name, i.environment)
}

func lookPath(name string, e device.Environment) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(e.Get("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 && name != "" {
			return path, nil
		}
	}
	return "", fmt.Errorf("%q: there is no such command", name)
}
