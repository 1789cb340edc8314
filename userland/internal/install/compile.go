package install

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/stub"
)

// patience is how long the compiler may take to clean up after a signal.
const patience = 2 * time.Second

// compile runs "go build" in the package's directory, in the environment that
// the seed was made in, whatever the caller's is. Its output goes to words.
//
// It runs in a process group of its own, so that one signal reaches the
// compilers and the linker that it starts, and none from the terminal does: the
// terminal's come to us, and ctx ends.
func (in *Installer) compile(ctx context.Context, c stub.Command, output string, words *progress) error {
	environment, err := device.ReadEnvironment(in.Layout)
	if err != nil {
		return err
	}
	// A folder that only this command's lock gives access to, instead of the go
	// command's own random one, can be emptied whatever has happened to it.
	work := filepath.Join(in.Layout.Work(), c.Name)
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(work)

	dir := in.Layout.Path(c.Package)
	build := exec.CommandContext(ctx, filepath.Join(in.Layout.Programs(), "go"), "build", "-o", output, ".")
	build.Dir = dir
	build.Env = environment.With("GOTMPDIR", work).With("PWD", dir).Pairs()
	build.Stdout, build.Stderr = words, words
	build.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	build.Cancel = func() error { return syscall.Kill(-build.Process.Pid, syscall.SIGTERM) }
	build.WaitDelay = patience

	// Pdeathsig is about the death of the thread that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = build.Run()
	if ctx.Err() != nil {
		if build.Process != nil {
			endGroup(build.Process.Pid)
		}
		return context.Cause(ctx)
	}
	if err != nil {
		return &compileError{dir: c.Package, err: err, diskFull: words.saysFull()}
	}
	return nil
}

// endGroup kills what patience did not move, and waits for the kernel to be done
// with it, so that nobody writes a file after it was to be the last one. A member
// that cannot die now, in the middle of I/O, does not hold us up for long.
func endGroup(group int) {
	for range 50 {
		if syscall.Kill(-group, syscall.SIGKILL) == syscall.ESRCH {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A compileError comes after the compiler's own words, which are printed
// already.
type compileError struct {
	dir      string
	err      error
	diskFull bool // it said so
}

func (e *compileError) Error() string {
	return fmt.Sprintf("compiling %s failed: go build: %v", e.dir, e.err)
}
