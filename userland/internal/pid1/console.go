package pid1

import (
	"os"
	"strings"
	"syscall"
	"time"

	"sourcery/userland/internal/terminal"
)

// A console is a terminal that the kernel writes its messages to, and we run a
// shell on.
type console struct {
	path  string
	state *terminal.State // as it was at first
}

// defaultSize is that of a terminal which does not know its size: a serial line
// cannot, and a line editor needs one.
var defaultSize = terminal.Size{Rows: 24, Columns: 80}

// findConsoles gives the machine's consoles, the most important one last.
func (i *Init) findConsoles() []*console {
	active, err := os.ReadFile("/sys/class/tty/console/active")
	i.debugCheck("active consoles", err)
	var list []*console
	for _, path := range consolePaths(string(active)) {
		if _, err := os.Stat(path); err == nil {
			list = append(list, &console{path: path})
		}
	}
	if len(list) == 0 {
		list = []*console{{path: "/dev/console"}}
	}
	return list
}

// consolePaths translates the content of /sys/class/tty/console/active, names of
// terminals in the order of the kernel command line. A terminal proper is better
// than /dev/console, which programs cannot open as their controlling terminal.
func consolePaths(active string) []string {
	var list []string
	for _, name := range strings.Fields(active) {
		if name == "tty0" {
			name = "tty1" // tty0 is whichever virtual terminal is to be seen now
		}
		list = append(list, "/dev/"+name)
	}
	return list
}

// open gives a file descriptor of the console, in the state that it had at first.
// It has to be opened anew for each session: when the leader of a session ends,
// the kernel hangs its terminal up.
func (c *console) open() (int, error) {
	// A serial line without a carrier would otherwise wait for one.
	fd, err := syscall.Open(c.path, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: c.path, Err: err}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		syscall.Close(fd)
		return -1, &os.PathError{Op: "open", Path: c.path, Err: err}
	}
	if c.state == nil {
		if s, err := terminal.GetState(fd); err == nil {
			c.state = &s
		}
	} else {
		terminal.SetState(fd, *c.state) // it is as usable as it was if this fails
	}
	if size, err := terminal.GetSize(fd); err == nil && (size.Rows == 0 || size.Columns == 0) {
		terminal.SetSize(fd, defaultSize)
	}
	return fd, nil
}

// print writes to the console, best effort.
func (c *console) print(text string) {
	fd, err := c.open()
	if err != nil {
		within(writeTime, func() { os.Stderr.WriteString(text) })
		return
	}
	f := os.NewFile(uintptr(fd), c.path)
	within(writeTime, func() {
		defer f.Close()
		f.WriteString(text)
	})
}

// writeTime is how long a message waits for a console that takes nothing, as
// after Ctrl-S: nobody may keep the machine from powering off by that.
const writeTime = 5 * time.Second

// muteTime is the same for one that has taken nothing before.
const muteTime = writeTime / 100

// within waits until f has returned, but no longer than limit, and reports whether
// it has. Else f goes on by itself.
func within(limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// resumeConsoles lets output go on wherever Ctrl-S has stopped it.
func (i *Init) resumeConsoles() {
	i.debugCheck("resuming output", terminal.Resume(syscall.Stderr))
	for _, c := range i.findConsoles() {
		fd, err := c.open()
		if err == nil {
			err = terminal.Resume(fd)
			syscall.Close(fd)
		}
		i.debugCheck("resuming output on "+c.path, err)
	}
}

// terminalType gives a value for TERM. Nothing is known of what is at the other
// end of a serial line. "screen" stands for the sequences that everything
// understands, and it is the one name that keeps Go's terminal libraries
// (muesli/termenv, termStatusReport) from asking the terminal for its colours, and
// waiting ten seconds for the answer, before they show a prompt.
func (c *console) terminalType() string {
	if name, found := strings.CutPrefix(c.path, "/dev/tty"); found && len(name) > 0 && '0' <= name[0] && name[0] <= '9' {
		return "linux"
	}
	return "screen"
}
