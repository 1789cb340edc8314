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
