package pid1

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sourcery/userland/internal/device"
)

func TestConsolePaths(t *testing.T) {
	for active, want := range map[string][]string{
		"":                   nil,
		"ttyS0\n":            {"/dev/ttyS0"},
		"tty0 ttyS0\n":       {"/dev/tty1", "/dev/ttyS0"},
		"ttyAMA0 hvc0 tty0 ": {"/dev/ttyAMA0", "/dev/hvc0", "/dev/tty1"},
	} {
		if got := consolePaths(active); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", active, got, want)
		}
	}
}

func TestTerminalType(t *testing.T) {
	for path, want := range map[string]string{
		"/dev/tty1": "linux", "/dev/tty12": "linux",
		"/dev/ttyS0": "screen", "/dev/ttyAMA0": "screen", "/dev/hvc0": "screen", "/dev/console": "screen", "/dev/tty": "screen",
	} {
		if got := (&console{path: path}).terminalType(); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestPauseGrowsWhereShellsDieAtOnce(t *testing.T) {
	var wait, total time.Duration
	for range 20 {
		next := pause(wait, time.Millisecond)
		if next < wait || next == 0 || next > time.Minute {
			t.Fatalf("pause after %v is %v", wait, next)
		}
		wait = next
		total += next
	}
	if total < 5*time.Minute {
		t.Errorf("20 shells that died at once were started in %v", total)
	}
	if got := pause(wait, time.Hour); got != 0 {
		t.Errorf("pause after a long session is %v", got)
	}
}

func TestExitStatus(t *testing.T) {
	for status, want := range map[syscall.WaitStatus]int{0: 0, 3 << 8: 3, 127 << 8: 127, 9: 137, 11 | 0x80: 139} {
		if got := exitStatus(status); got != want {
			t.Errorf("wait status %#x: %d, want %d", int(status), got, want)
		}
	}
}

func testLayout(t *testing.T) device.Layout {
	t.Helper()
	l := device.Layout{Root: t.TempDir(), Arch: "test"}
	if err := errors.Join(os.MkdirAll(l.Programs(), 0o755), os.MkdirAll(l.Commands(), 0o755)); err != nil {
		t.Fatal(err)
	}
	return l
}

func touch(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, nil, mode); err != nil {
		t.Fatal(err)
	}
}

func TestLookPath(t *testing.T) {
	l := testLayout(t)
	e, err := device.ParseEnvironment([]byte("PATH=" + l.Commands() + ":" + l.Programs() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(l.Programs(), "ls"), 0o755)
	touch(t, filepath.Join(l.Programs(), "ip"), 0o755)
	touch(t, filepath.Join(l.Commands(), "ip"), 0o755)
	touch(t, filepath.Join(l.Commands(), "text"), 0o644)
	for name, want := range map[string]string{
		"ls": filepath.Join(l.Programs(), "ls"), "ip": filepath.Join(l.Commands(), "ip"),
		"/any/path": "/any/path", "text": "", "none": "", "": "", "..": "",
	} {
		got, err := lookPath(name, e)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestNeverStarted(t *testing.T) {
	l := testLayout(t)
	i := &Init{layout: l}
	touch(t, filepath.Join(l.Commands(), "made"), 0o755)
	tests := []struct {
		path   string
		status int
		want   bool
	}{
		{filepath.Join(l.Programs(), "gosh"), 126, true},
		{filepath.Join(l.Programs(), "gosh"), 127, true},
		{filepath.Join(l.Programs(), "gosh"), 0, false},
		{filepath.Join(l.Programs(), "gosh"), 130, false},
		{filepath.Join(l.Programs(), "made"), 127, false}, // its last command was not found
		{filepath.Join(l.Commands(), "made"), 127, false},
		{"/elsewhere/sh", 127, false},
	}
	for _, test := range tests {
		if got := i.neverStarted(test.path, test.status); got != test.want {
			t.Errorf("%s with status %d: %v", test.path, test.status, got)
		}
	}
}

func TestReaper(t *testing.T) {
	r := newReaper()
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	go r.run(children)
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}
	var waiting []<-chan syscall.WaitStatus
	for range 20 {
		ended, err := r.start("/bin/sh", []string{"sh", "-c", "exit 5"}, attr)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, ended)
	}
	for _, ended := range waiting {
		if got := exitStatus(<-ended); got != 5 {
			t.Errorf("status %d", got)
		}
	}
	if r.reap() {
		t.Error("children are left")
	}
	if len(r.waiting) != 0 {
		t.Errorf("%d forgotten", len(r.waiting))
	}
	_, err := r.start("/no/such", []string{"such"}, attr)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
}

func TestEtcFilesAreNotOverwritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	for range 2 {
		if err := writeIfMissing(file, "first\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte("own\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeIfMissing(file, "first\n"); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(file); string(data) != "own\n" {
		t.Errorf("the stick's file became %q", data)
	}
}

func TestInterfaceThatDoesNotExist(t *testing.T) {
	if err := raiseInterface("no-such-device-here"); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("raiseInterface = %v, want ENODEV", err)
	}
}

// What comes before a file system has to be mounted before it.
func TestOrderOfMounts(t *testing.T) {
	var seen []string
	for _, m := range slices.Concat(earlyMounts, mounts) {
		parent := filepath.Dir(m.target)
		if m.folder != slices.Contains(seen, parent) {
			t.Errorf("%s: folder is %v, but mounted before it: %q", m.target, m.folder, seen)
		}
		seen = append(seen, m.target)
	}
}

func TestTmpfsDoNotTakeAllMemory(t *testing.T) {
	percent := 0
	for _, m := range mounts {
		if _, size, found := strings.Cut(m.options, "size="); found && m.kind == "tmpfs" {
			n := 0
			for _, c := range strings.TrimSuffix(size, "%") {
				n = n*10 + int(c-'0')
			}
			percent += n
		} else if m.kind == "tmpfs" {
			t.Errorf("%s has no limit", m.target)
		}
	}
	if percent > 95 {
		t.Errorf("together they can take %d %% of the memory", percent)
	}
}

func TestGreetingFitsTheScreen(t *testing.T) {
	text := greeting("riscv64", "6.12.117+deb13-riscv64", "/linux_riscv64/bin", 193, 4)
	for line := range strings.Lines(text) {
		if len(line) > 80 {
			t.Errorf("%d characters: %q", len(line), line)
		}
	}
	for _, want := range []string{"linux/riscv64", "193 commands", "/linux_riscv64/bin", "poweroff", "installcommand -edit"} {
		if !strings.Contains(text, want) {
			t.Errorf("says nothing of %q", want)
		}
	}
}

func TestPowerSignal(t *testing.T) {
	for line, want := range map[string]syscall.Signal{
		"-halt": syscall.SIGUSR1, "-poweroff /bin/poweroff": syscall.SIGUSR2, "-reboot /bin/reboot": syscall.SIGTERM,
		"-shutdown /bin/shutdown":          syscall.SIGUSR2,
		"-shutdown /bin/shutdown now":      syscall.SIGUSR2,
		"-shutdown /bin/shutdown -h":       syscall.SIGUSR2,
		"-shutdown /bin/shutdown halt now": syscall.SIGUSR2,
		"-shutdown /bin/shutdown -P +0":    syscall.SIGUSR2,
		"-shutdown /bin/shutdown -r now":   syscall.SIGTERM,
		"-shutdown /bin/shutdown reboot":   syscall.SIGTERM,
		"-shutdown /bin/shutdown poweroff": syscall.SIGUSR2,
	} {
		got, found, err := PowerSignal(strings.Fields(line))
		if got != want || !found || err != nil {
			t.Errorf("%s: %v, %v, %v; want %v", line, got, found, err, want)
		}
	}
}

func TestPowerSignalRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"-halt /bin/halt --help":                      `halt: "--help": it takes no arguments` + "\nUsage: halt    stops all",
		"-shutdown /bin/shutdown --help":              `"--help" is not understood` + "\nUsage: shutdown [-h|-P|-r|halt|poweroff|reboot] [now]    stops all",
		"-shutdown /bin/shutdown -s":                  "cannot be suspended",
		"-shutdown /bin/shutdown suspend now":         "cannot be suspended",
		"-shutdown /bin/shutdown -r +5":               `"+5": it is done now; for later there is sleep`,
		"-shutdown /bin/shutdown -h 2030-01-01T00:00": "it is done now",
		"-shutdown /bin/shutdown later":               "it is done now",
		"-shutdown /bin/shutdown -r now all go home":  `"all": there is nobody to be told`,
		"-shutdown /bin/shutdown -h -r":               `"-r" is not understood`,
		"-shutdown /bin/shutdown -c":                  `"-c" is not understood`,
	} {
		got, found, err := PowerSignal(strings.Fields(line))
		if got != 0 || !found || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, %v; want %q", line, got, found, err, want)
		}
	}
	for _, line := range []string{"", "halt", "-nothing", "0"} {
		if got, found, err := PowerSignal(strings.Fields(line)); got != 0 || found || err != nil {
			t.Errorf("%q: %v, %v, %v", line, got, found, err)
		}
	}
}

func TestPathLeadsToPowerCommands(t *testing.T) {
	l := device.Layout{Arch: "test"}
	for before, want := range map[string]string{
		"/bin:/linux_test/bin": "/bin:/run/power:/linux_test/bin",
		"/linux_test/bin":      "/run/power:/linux_test/bin",
		"":                     "/run/power",
	} {
		e := withPowerCommands(device.Environment{}.With("PATH", before), l)
		if got := e.Get("PATH"); got != want {
			t.Errorf("%q became %q, want %q", before, got, want)
		}
	}
}

func TestPowerCommandsOutliveThoseInBin(t *testing.T) {
	l := testLayout(t)
	i := &Init{layout: l, self: "/linux_test/bin/init"}
	i.makePowerCommands()
	e := withPowerCommands(device.Environment{}.With("PATH", l.Commands()+":"+l.Programs()), l)
	for name := range powerCommands {
		touch(t, filepath.Join(l.Programs(), name), 0o755)
		for _, dir := range []string{l.Commands(), l.PowerCommands()} {
			path, err := lookPath(name, e)
			if err != nil || path != filepath.Join(dir, name) {
				t.Errorf("%s: %s, %v; want it in %s", name, path, err, dir)
			}
			if data, _ := os.ReadFile(path); string(data) != "#!/linux_test/bin/init -"+name+"\n" {
				t.Errorf("%s: %q", path, data)
			}
			if dir == l.Commands() {
				os.Remove(path)
			}
		}
	}
}

func TestWithinDoesNotWaitForEver(t *testing.T) {
	stopped := make(chan struct{})
	if within(time.Millisecond, func() { <-stopped }) {
		t.Error("it has returned")
	}
	close(stopped)
	if !within(time.Hour, func() {}) {
		t.Error("it was not waited for")
	}
}

func TestSetTelemetry(t *testing.T) {
	home := t.TempDir()
	e := device.Environment{}.With("HOME", home)
	for _, mode := range []string{"", "off"} {
		if err := setTelemetry(e.With("GOTELEMETRY", mode)); err != nil {
			t.Fatal(err)
		}
		// What os.UserConfigDir gives, which the go command asks.
		data, _ := os.ReadFile(filepath.Join(home, ".config", "go", "telemetry", "mode"))
		if strings.TrimSpace(string(data)) != mode {
			t.Errorf("%q: the file says %q", mode, data)
		}
	}
}
