package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/stub"
)

var hello = stub.Command{Name: "hello", Package: "/src/example.com/m/cmd/hello"}

// A bench is a device in a directory, whose go command is a shell script.
type bench struct {
	t      *testing.T
	layout device.Layout
	stderr bytes.Buffer
}

// programs gives the path of a real program of package example.com/m/cmd/<name>,
// made once for all tests.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "install-test-")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/m\n\ngo 1.24\n"), 0o644); err != nil {
		return "", err
	}
	for _, name := range []string{"hello", "other"} {
		cmd := filepath.Join(dir, "cmd", name)
		if err := os.MkdirAll(cmd, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(cmd, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
			return "", err
		}
		build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, name), ".")
		build.Dir = cmd
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := programs(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

// newBench makes a device with the source of hello. The script gets, as $out,
// the file that it is to make, and as $made the real program hello.
func newBench(t *testing.T, script string) *bench {
	t.Helper()
	made, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, layout: device.Layout{Root: t.TempDir(), Arch: "test"}}
	for _, dir := range []string{b.layout.Commands(), b.layout.Temporary(), b.layout.Programs(), b.layout.Path(hello.Package)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.write("/linux_test/environment", fmt.Sprintf("# as the seed was made\nMADE=%s\nLOG=%s\nPATH=%s\n",
		made, b.layout.Path("/tmp/log"), os.Getenv("PATH")), 0o644)
	b.write(hello.Package+"/main.go", "package main\n", 0o644)
	b.write("/linux_test/bin/go", "#!/bin/sh\n"+`test "$1 $2 $4" = "build -o ." || exit 9
out=$3 made=$MADE/hello
echo "$PWD" >>"$LOG"
`+script+"\n", 0o755)
	return b
}

func (b *bench) write(path, content string, mode fs.FileMode) {
	b.t.Helper()
	if err := os.WriteFile(b.layout.Path(path), []byte(content), mode); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) installer() *Installer { return &Installer{Layout: b.layout, Stderr: &b.stderr} }

// compilations says how often the go command was started.
func (b *bench) compilations() int {
	data, err := os.ReadFile(b.layout.Path("/tmp/log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
	return strings.Count(string(data), "\n")
}

// clean checks that nothing unfinished is left, and what is in /bin.
func (b *bench) clean(want ...string) {
	b.t.Helper()
	for dir, want := range map[string][]string{b.layout.Commands(): want, b.layout.Work(): nil} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if fmt.Sprint(names) != fmt.Sprint(want) {
			b.t.Errorf("in %s: %q, want %q", dir, names, want)
		}
	}
}

// fails checks that hello cannot be installed, with this status and message.
func (b *bench) fails(status int, message string) {
	b.t.Helper()
	_, err := b.installer().Install(b.t.Context(), hello)
	if err == nil {
		b.t.Fatal("Install succeeded")
	}
	if Status(err) != status || !strings.Contains(err.Error(), message) {
		b.t.Errorf("status %d, error %q; want %d, %q", Status(err), err, status, message)
	}
}

const copies = `cp "$made" "$out"`

func TestInstallOnce(t *testing.T) {
	b := newBench(t, copies)
	for range 2 {
		path, err := b.installer().Install(t.Context(), hello)
		if err != nil {
			t.Fatal(err)
		}
		if path != b.layout.Path("/bin/hello") {
			t.Errorf("program %s", path)
		}
	}
	if n := b.compilations(); n != 1 {
		t.Errorf("compiled %d times", n)
	}
	b.clean("hello")
	log, _ := os.ReadFile(b.layout.Path("/tmp/log"))
	if got := strings.TrimSpace(string(log)); got != b.layout.Path(hello.Package) {
		t.Errorf("compiled in %s", got)
	}
	if b.stderr.Len() != 0 {
		t.Errorf("printed: %q", &b.stderr)
	}
}

func TestReinstall(t *testing.T) {
	b := newBench(t, copies)
	for range 2 {
		if _, err := b.installer().Reinstall(t.Context(), hello); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.compilations(); n != 2 {
		t.Errorf("compiled %d times", n)
	}
	b.clean("hello")
}

func TestManyAtOnceCompileOnce(t *testing.T) {
	b := newBench(t, "sleep 0.2\n"+copies)
	var group sync.WaitGroup
	for range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			if _, err := (&Installer{Layout: b.layout, Stderr: new(bytes.Buffer)}).Install(t.Context(), hello); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	if n := b.compilations(); n != 1 {
		t.Errorf("compiled %d times", n)
	}
	b.clean("hello")
}

func TestCallersEnvironmentDoesNotReachTheCompiler(t *testing.T) {
	b := newBench(t, `test -z "$GOFLAGS" && test -d "$GOTMPDIR" || { env; exit 1; }`+"\n"+copies)
	t.Setenv("GOFLAGS", "-tags=wrong")
	t.Setenv("GOTMPDIR", "/nonexistent")
	if _, err := b.installer().Install(t.Context(), hello); err != nil {
		t.Errorf("%v: %s", err, &b.stderr)
	}
}

func TestCompileError(t *testing.T) {
	b := newBench(t, "echo './main.go:3:1: syntax error' >&2; echo half >\"$out\"; exit 1")
	b.fails(StatusCannotRun, "compiling /src/example.com/m/cmd/hello failed: go build: exit status 1")
	if got := b.stderr.String(); got != "./main.go:3:1: syntax error\n" {
		t.Errorf("the compiler's words: %q", got)
	}
	b.clean()
}

func TestNotACommand(t *testing.T) {
	for name, script := range map[string]string{
		"archive":         `echo '!<arch>' >"$out"; chmod +x "$out"`,
		"nothing":         ``,
		"another package": `cp "$MADE/other" "$out"`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, script)
			b.fails(StatusCannotRun, "is not the directory of a command")
			b.clean()
		})
	}
}

func TestNoSource(t *testing.T) {
	b := newBench(t, copies)
	if err := os.Remove(b.layout.Path(hello.Package + "/main.go")); err != nil {
		t.Fatal(err)
	}
	b.write(hello.Package+"/README", "", 0o644)
	b.write(hello.Package+"/main_test.go", "", 0o644)
	b.fails(StatusNotFound, "hello: no source: there is no Go file in /src/example.com/m/cmd/hello")
	if err := os.RemoveAll(b.layout.Path("/src")); err != nil {
		t.Fatal(err)
	}
	b.fails(StatusNotFound, "hello: no source: open ")
	b.clean()
}

func TestSomethingElseIsInTheWay(t *testing.T) {
	made, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	for name, place := range map[string]func(path string) error{
		"script":         func(p string) error { return os.WriteFile(p, []byte("#!/bin/sh\n"), 0o755) },
		"directory":      func(p string) error { return os.Mkdir(p, 0o755) },
		"other program":  func(p string) error { return exec.Command("cp", filepath.Join(made, "other"), p).Run() },
		"link":           func(p string) error { return os.Symlink(filepath.Join(made, "hello"), p) },
		"not executable": func(p string) error { return os.WriteFile(p, nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, copies)
			if err := place(b.layout.Path("/bin/hello")); err != nil {
				t.Fatal(err)
			}
			b.fails(StatusCannotRun, "is in the way")
			b.clean("hello")
		})
	}
}

func TestBrokenDevice(t *testing.T) {
	for _, missing := range []string{"/linux_test/environment", "/linux_test/bin/go", "/bin"} {
		t.Run(missing, func(t *testing.T) {
			b := newBench(t, copies)
			if err := os.RemoveAll(b.layout.Path(missing)); err != nil {
				t.Fatal(err)
			}
			b.fails(StatusCannotRun, b.layout.Path(missing))
		})
	}
}

func TestLeftoversOfTheKilledAreRemoved(t *testing.T) {
	b := newBench(t, copies)
	b.write("/bin/.hello.4711", "half", 0o644)
	b.write("/bin/.hello.x", "a user's own", 0o644)
	b.write("/bin/.hello.more.1", "of another command", 0o644)
	if err := os.MkdirAll(filepath.Join(b.layout.Work(), "hello", "go-build1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := b.installer().Install(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	b.clean(".hello.more.1", ".hello.x", "hello")
}

func TestLeftoversOfOtherCommandsAreRemoved(t *testing.T) {
	b := newBench(t, copies)
	for _, name := range []string{"killed", "working"} {
		if err := os.MkdirAll(filepath.Join(b.layout.Work(), name, "go-build1"), 0o755); err != nil {
			t.Fatal(err)
		}
		b.write("/bin/."+name+".4711", "half", 0o644)
	}
	release, err := b.installer().lock(t.Context(), "working")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.installer().Install(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(b.layout.Work(), "working", "go-build1")); err != nil {
		t.Errorf("what another installer works on: %v", err)
	}
	release()
	if _, err := b.installer().Reinstall(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	b.clean("hello")
}

func TestSignalsEndTheContext(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(s) {
			continue // as nohup has it
		}
		ctx, stop := WithSignals(t.Context())
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if err := Interruption(ctx); Status(err) != StatusSignal+int(s) {
			t.Errorf("%v: %v", s, err)
		}
		stop()
	}
}

func TestSignalWhileCompiling(t *testing.T) {
	// The script's child shows whether the whole group is killed; it does not
	// heed SIGTERM, so it takes the last resort.
	b := newBench(t, `echo half >"$out"; touch "$GOTMPDIR/half"
(trap '' TERM; sleep 60) & echo $! >"$LOG.child"; wait`)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for b.compilations() == 0 {
			time.Sleep(time.Millisecond)
		}
		for {
			if data, err := os.ReadFile(b.layout.Path("/tmp/log.child")); err == nil && len(data) > 1 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel(Signal{syscall.SIGTERM})
	}()
	_, err := b.installer().Install(ctx, hello)
	if Status(err) != 128+int(syscall.SIGTERM) {
		t.Errorf("status %d (%v)", Status(err), err)
	}
	if want := "hello: not compiled, nothing of it is left: ended by a signal: terminated"; err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	b.clean()
	var child int
	data, _ := os.ReadFile(b.layout.Path("/tmp/log.child"))
	fmt.Sscan(string(data), &child)
	for range 500 { // the kernel takes a moment to be done with it
		if syscall.Kill(child, 0) == syscall.ESRCH || zombie(child) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d of the compiler's group is still there", child)
}

// zombie reports whether a process has ended and only waits for init to notice.
func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(data), ") Z ")
}

func TestSignalWhileWaiting(t *testing.T) {
	b := newBench(t, copies)
	release, err := b.installer().lock(t.Context(), hello.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(Signal{syscall.SIGINT}) })
	if _, err := b.installer().Install(ctx, hello); Status(err) != 130 {
		t.Errorf("status %d (%v)", Status(err), err)
	}
	if n := b.compilations(); n != 0 {
		t.Errorf("compiled %d times", n)
	}
}

func TestProgressIsShownOnATerminal(t *testing.T) {
	const message = "compiling hello ..."
	// Nothing of what stands before it on the line.
	erase := strings.Repeat("\b \b", len(message))
	shown := func(script string, terminal bool, delay time.Duration) string {
		b := newBench(t, script)
		in := b.installer()
		in.Terminal, in.delay = terminal, delay
		in.Install(t.Context(), hello)
		return b.stderr.String()
	}
	const slow = "sleep 0.3\n"
	if got := shown(slow+copies, true, time.Millisecond); got != message+erase {
		t.Errorf("slow: %q", got)
	}
	if got := shown(copies, true, time.Hour); got != "" {
		t.Errorf("fast: %q", got)
	}
	if got := shown(slow+copies, false, time.Millisecond); got != "" {
		t.Errorf("no terminal: %q", got)
	}
	if got := shown(slow+"echo error; sleep 0.1; exit 1", true, time.Millisecond); got != message+erase+"error\n" {
		t.Errorf("compile error: %q", got)
	}
}

func TestFullDiskIsExplained(t *testing.T) {
	// In two writes, as the words may come from the compiler.
	b := newBench(t, `printf 'compile: writing output: no space left' >&2; sleep 0.1; echo ' on device' >&2; exit 1`)
	b.fails(StatusCannotRun, "There is no space left to compile it: "+b.layout.Temporary()+" has ")
	b.fails(StatusCannotRun, "where rm is not compiled yet, the shell empties a file with > FILE.")
	b.clean()
}

// The cache's statistics are the last word of GOCACHEPROG. What it lost in memory
// is no reason to complain of the stick.
func TestDamagedSeedIsMentioned(t *testing.T) {
	const stats = `echo '{"gets":3,"hits":1,"misses":2,"puts":2,"damaged_seed":'$n',"damaged_cache":3}' >"${GOCACHEPROG##* }"` + "\n"
	b := newBench(t, "n=2; "+stats+copies)
	file := b.layout.Path("/linux_test/environment")
	environment, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b.write("/linux_test/environment", string(environment)+"GOCACHEPROG=helper -cache x\n", 0o644)
	if _, err := b.installer().Install(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if got := b.stderr.String(); !strings.Contains(got, "installcommand: hello: the compile seed on this stick is damaged: 2 of the objects") {
		t.Errorf("said %q", got)
	}
	b.clean("hello")

	b = newBench(t, "n=0; "+stats+copies)
	b.write("/linux_test/environment", string(environment)+"GOCACHEPROG=helper -cache x\n", 0o644)
	if _, err := b.installer().Install(t.Context(), hello); err != nil || b.stderr.String() != "" {
		t.Errorf("intact: %v, said %q", err, b.stderr.String())
	}
}
