package devicetest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A machine is a device whose first process is init, with a terminal at its
// console.
type machine struct {
	t        *testing.T
	process  *exec.Cmd
	keyboard *os.File // the terminal's other end
	ended    chan struct{}

	mu     sync.Mutex
	screen bytes.Buffer // all that was printed
	seen   int          // bytes of it that were looked at
}

// boot starts a machine with a kernel command line.
func boot(t *testing.T, cmdline string) *machine {
	t.Helper()
	root := testDevice(t)
	t.Parallel()
	master, name := openTerminal(t)
	console, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	file := filepath.Join(t.TempDir(), "cmdline")
	if err := os.WriteFile(file, []byte(cmdline+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, keyboard: master, ended: make(chan struct{})}
	if m.process, err = firstProcessOf(root, platform+"/bin/init"); err != nil {
		t.Fatal(err)
	}
	m.process.Env = append(m.process.Env, cmdlineVariable+"="+file, consoleVariable+"="+name)
	m.process.Stdin, m.process.Stdout, m.process.Stderr = console, console, console
	if err := m.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		m.process.Wait()
		close(m.ended)
	}()
	go m.watch()
	t.Cleanup(func() {
		m.process.Process.Kill()
		<-m.ended
		master.Close()
		if t.Failed() {
			t.Logf("the screen:\n%s", m.screen.String())
		}
	})
	return m
}

// openTerminal gives the two ends of a pseudoterminal, the second by its name.
func openTerminal(t *testing.T) (*os.File, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number, unlock int32
	for request, argument := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(argument))); errno != 0 {
			t.Fatal(errno)
		}
	}
	return master, fmt.Sprint("/dev/pts/", number)
}

func (m *machine) watch() {
	buffer := make([]byte, 4096)
	for {
		n, err := m.keyboard.Read(buffer)
		m.mu.Lock()
		m.screen.Write(buffer[:n])
		m.mu.Unlock()
		if err != nil {
			select {
			case <-m.ended:
				return
			case <-time.After(10 * time.Millisecond): // nobody has the terminal open just now
			}
		}
	}
}

// see waits until the machine prints a text, after all that was seen before.
func (m *machine) see(text string) {
	m.t.Helper()
	for range 6000 {
		m.mu.Lock()
		at := strings.Index(m.screen.String()[m.seen:], text)
		if at >= 0 {
			m.seen += at + len(text)
		}
		m.mu.Unlock()
		if at >= 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.t.Fatalf("waited in vain for %q", text)
}

func (m *machine) typeIn(text string) {
	m.t.Helper()
	if _, err := m.keyboard.WriteString(text); err != nil {
		m.t.Fatal(err)
	}
}

// endsBy checks how the machine ends: reboot(2) in a PID namespace ends its first
// process by SIGINT where it stops the machine, and by SIGHUP where it restarts it
// (reboot_pid_ns in the kernel's kernel/pid_namespace.c).
func (m *machine) endsBy(want syscall.Signal) {
	m.t.Helper()
	select {
	case <-m.ended:
	case <-time.After(time.Minute):
		m.t.Fatal("the machine does not end")
	}
	status := m.process.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != want {
		m.t.Errorf("the machine ended with %v, want signal %v", m.process.ProcessState, want)
	}
}

func TestRunAndPowerOff(t *testing.T) {
	m := boot(t, `console=ttyS0 sourcery.run="words 'a b' c"`)
	m.see("<words><a b><c>-trimpath -buildvcs=false\r\n")
	m.typeIn("\x04") // end of its input
	m.see("sourcery: run exited with status 0\r\n")
	m.see("sourcery: powering off\r\n")
	m.endsBy(syscall.SIGINT)
}

func TestRunThatFails(t *testing.T) {
	for command, want := range map[string]string{
		"broken":               "undefined: undefined|sourcery: run exited with status 126\r\n",
		"nosource":             "no source|sourcery: run exited with status 127\r\n",
		"nosuch":               `sourcery: run: "nosuch": there is no such command|sourcery: run exited with status 127` + "\r\n",
		"/src/nosuch":          "sourcery: run: exec /src/nosuch: no such file or directory|sourcery: run exited with status 126\r\n",
		"'unfinished":          "sourcery: kernel command line: sourcery.run: quotation without an end|status 127",
		platform + "/bin/init": "it only runs as process 1|sourcery: run exited with status 2\r\n",
	} {
		t.Run(command, func(t *testing.T) {
			m := boot(t, `sourcery.run="`+command+`"`)
			for text := range strings.SplitSeq(want, "|") {
				m.see(text)
			}
			m.endsBy(syscall.SIGINT)
		})
	}
}

func TestRunKilled(t *testing.T) {
	m := boot(t, "sourcery.run=master")
	m.see("master waits")
	m.typeIn("\x1c") // Ctrl-\ is SIGQUIT, at which a Go program exits with status 2
	m.see("sourcery: run exited with status 2\r\n")
	m.endsBy(syscall.SIGINT)
}

func TestShellSession(t *testing.T) {
	m := boot(t, "sourcery.shell=nosuch,master sourcery.debug")
	m.see("mounted tmpfs on /bin")
	m.see("Sourcery: a system that is mostly source.\r\nlinux/")
	m.see("welcome to the test") // from the stick's /etc/motd
	m.see("master waits\r\n")    // so it has the console as its controlling terminal
	m.typeIn("\x03")
	m.see("master interrupted\r\n")
	m.see("master waits\r\n") // again
	if err := m.process.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	m.see("sourcery: powering off\r\n")
	m.endsBy(syscall.SIGINT)
}

// A shell that knows how can stop jobs and continue them on the console.
func TestJobControl(t *testing.T) {
	m := boot(t, "sourcery.run=jobs")
	m.see("the job reads\r\n")
	m.typeIn("\x1a") // Ctrl-Z
	m.see(fmt.Sprintf("stopped by %d\r\n", syscall.SIGTSTP))
	m.see(fmt.Sprintf("stopped by %d\r\n", syscall.SIGTTIN))
	m.see("once more in the foreground\r\n")
	m.typeIn("a line\n")
	m.see("the job got a line\r\n")
	m.typeIn("\x03")
	m.see(fmt.Sprintf("ended by %d\r\n", syscall.SIGINT))
	m.see("sourcery: run exited with status 0\r\n")
	m.endsBy(syscall.SIGINT)
}

// The commands in /bin, which need no compiler.
func TestPowerCommands(t *testing.T) {
	for command, want := range map[string]struct {
		words string
		end   syscall.Signal
	}{
		"halt":     {"sourcery: halting\r\n", syscall.SIGINT},
		"poweroff": {"sourcery: powering off\r\n", syscall.SIGINT},
		"reboot":   {"sourcery: rebooting\r\n", syscall.SIGHUP},
		"shutdown": {"sourcery: powering off\r\n", syscall.SIGINT},
	} {
		t.Run(command, func(t *testing.T) {
			m := boot(t, "sourcery.shell=nosuch")
			m.see("emergency# ")
			m.typeIn("/bin/" + command + " --help\n")
			m.see("Usage: " + command)
			m.see("emergency# ")
			m.typeIn("/bin/" + command + "\n")
			m.see(want.words)
			m.endsBy(want.end)
		})
	}
}

// They are there whatever is in /bin, and before a stub of the same name.
func TestPowerCommandsByName(t *testing.T) {
	for command, want := range map[string]struct {
		words string
		end   syscall.Signal
	}{
		"halt":            {"sourcery: halting\r\n", syscall.SIGINT},
		"shutdown":        {"sourcery: powering off\r\n", syscall.SIGINT},
		"shutdown -h now": {"sourcery: powering off\r\n", syscall.SIGINT},
		"shutdown -r":     {"sourcery: rebooting\r\n", syscall.SIGHUP},
	} {
		t.Run(command, func(t *testing.T) {
			m := boot(t, "sourcery.shell=nosuch")
			m.see("emergency# ")
			m.typeIn("shutdown -h 20:00\n")
			m.see("for later there is sleep, as in: sleep 600 && shutdown\r\nUsage: shutdown [-h|")
			m.see("emergency# ")
			m.typeIn("clear\n")
			m.see("emergency# ")
			m.typeIn("ls /bin\n")
			m.see("ls /bin\r\nemergency# ")
			m.typeIn(command + "\n")
			m.see(want.words)
			m.endsBy(want.end)
		})
	}
}

// stopOutput types Ctrl-S, and waits until the terminal takes nothing more.
func (m *machine) stopOutput() {
	m.t.Helper()
	var number int32
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, m.keyboard.Fd(), syscall.TIOCGPTN, uintptr(unsafe.Pointer(&number))); errno != 0 {
		m.t.Fatal(errno)
	}
	fd, err := syscall.Open(fmt.Sprint("/dev/pts/", number), syscall.O_WRONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer syscall.Close(fd)
	m.typeIn("\x13")
	for err == nil {
		time.Sleep(time.Millisecond)
		_, err = syscall.Write(fd, []byte("."))
	}
	if err != syscall.EAGAIN {
		m.t.Fatal(err)
	}
}

func TestPowerOffWhereOutputIsStopped(t *testing.T) {
	m := boot(t, "sourcery.shell=nosuch sourcery.debug")
	m.see("emergency# ")
	m.stopOutput()
	if err := m.process.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	m.endsBy(syscall.SIGINT)
	m.see("sourcery: powering off\r\n")
}

func TestRunWhereOutputIsStopped(t *testing.T) {
	m := boot(t, "sourcery.run=words")
	m.see("<words>")
	m.stopOutput()
	m.typeIn("\x04") // end of its input: it ends without a word
	m.endsBy(syscall.SIGINT)
}

func TestTelemetryIsOff(t *testing.T) {
	m := boot(t, "sourcery.shell=nosuch")
	m.see("emergency# ")
	m.typeIn("go telemetry\n")
	m.see("go telemetry\r\noff\r\n")
	m.see("emergency# ")
	m.typeIn("ls /tmp/home/.config/go/telemetry\n")
	m.see("telemetry\r\nmode\r\nemergency# ")
}

// What the machine was asked to do first is what it does: the end of the command
// that has asked must not make a poweroff of it.
func TestRebootAsTheCommandToRun(t *testing.T) {
	m := boot(t, "sourcery.run=reboot")
	m.see("sourcery: rebooting\r\n")
	m.endsBy(syscall.SIGHUP)
}

func TestEmergencyShell(t *testing.T) {
	m := boot(t, "sourcery.shell=broken,nosuch sourcery.hostname=box")
	m.see("undefined: undefined")
	m.see("sourcery: no shell: broken: could not be compiled\r\n")
	m.see(`"nosuch": there is no such command`)
	m.see("emergency# ")
	m.typeIn("cat /proc/sys/kernel/hostname\n")
	m.see("\nbox\r\n")
	m.typeIn("cat /etc/hosts\n")
	m.see("127.0.0.1\tlocalhost")
	m.typeIn("words in memory <\n")
	m.see("<words><in><memory><<>")
	m.typeIn("\x04")
	m.see("emergency# ")
	m.typeIn("master\n")
	m.see("master waits")
	m.typeIn("\x03") // for the command, not for the shell
	m.see("master interrupted")
	m.see("emergency# ")
	m.typeIn("slow\n")
	m.see("compiling slow ...") // a terminal sees what takes long
	m.typeIn("\x03")
	m.see("installcommand: slow: not compiled, nothing of it is left: ended by a signal: interrupt\r\n")
	m.see("emergency# ")
	m.typeIn("ls /tmp/cache/work\n")
	m.see("work\r\nemergency# ") // nothing is left there
	m.typeIn("exit\n")
	m.see("sourcery: no shell: broken: could not be compiled\r\n") // it was tried again
	m.see("emergency# ")
	m.typeIn("reboot\n")
	m.see("sourcery: rebooting\r\n")
	m.endsBy(syscall.SIGHUP)
}

func TestOrphansAreReaped(t *testing.T) {
	m := boot(t, "sourcery.shell=nosuch")
	m.see("emergency# ")
	m.typeIn("orphan\n")
	m.see("the orphan ends")
	for range 500 {
		if !m.hasZombies() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the orphan was not reaped")
}

// hasZombies looks at the children of the machine's init from outside.
func (m *machine) hasZombies() bool {
	m.t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(data), ") ")
		var state string
		var parent int
		fmt.Sscan(rest, &state, &parent)
		if state == "Z" && parent == m.process.Process.Pid {
			return true
		}
	}
	return false
}

func TestPowerSignals(t *testing.T) {
	for sig, want := range map[syscall.Signal]struct {
		words string
		end   syscall.Signal
	}{
		syscall.SIGUSR1: {"sourcery: halting", syscall.SIGINT},
		syscall.SIGTERM: {"sourcery: rebooting", syscall.SIGHUP},
		syscall.SIGINT:  {"sourcery: rebooting", syscall.SIGHUP},
	} {
		t.Run(sig.String(), func(t *testing.T) {
			m := boot(t, "sourcery.shell=nosuch")
			m.see("emergency# ")
			// These are deadly to other programs, and to a Go program too.
			for _, harmless := range []syscall.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGALRM} {
				if err := m.process.Process.Signal(harmless); err != nil {
					t.Fatal(err)
				}
			}
			m.typeIn("cat /proc/version\n")
			m.see("Linux version")
			if err := m.process.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			m.see(want.words)
			m.endsBy(want.end)
		})
	}
}
