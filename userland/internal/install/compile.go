package install

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/stub"
)

// patience is how long the compiler may take to clean up after a signal.
const patience = 2 * time.Second

// The go command and the linker live for so short a time that to collect garbage
// is a tenth of their work (measured: 0.48 s with these settings, 0.53 s without,
// for the largest command). From the limit on they collect as ever. Neither has
// an effect on what they make.
const (
	collect       = "400"
	collectAlways = "256MiB"
)

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
	counts := filepath.Join(work, "counts")
	environment = environment.With("GOTMPDIR", work).With("PWD", dir).With("GOGC", collect).With("GOMEMLIMIT", collectAlways)
	build.Env = withCounts(environment, counts).Pairs()
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
	if n := damagedSeed(counts); n > 0 {
		fmt.Fprintf(words, "installcommand: %s: the compile seed on this stick is damaged: %d of the objects that were needed are not as they should be.\n"+
			"They were made again from source, so the command is right; but the stick may be failing. Write it anew\n", c.Name, n)
	}
	return nil
}

// withCounts has the build cache leave its statistics in a file, unless they are
// wanted elsewhere already.
func withCounts(e device.Environment, file string) device.Environment {
	const key, option = "GOCACHEPROG", " -stats "
	helper := e.Get(key)
	if helper == "" || strings.Contains(helper, option) || strings.ContainsAny(file, " \t\n'\"") {
		return e
	}
	return e.With(key, helper+option+file)
}

// damagedSeed gives the number of damaged objects of seeds that the build cache has
// counted. What its own directory in memory has lost is no fault of the stick. A
// statistic that is not there says nothing, and is no reason to fail.
func damagedSeed(file string) int64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	var sum int64
	for line := range bytes.Lines(data) {
		var counts struct {
			DamagedSeed int64 `json:"damaged_seed"`
		}
		if json.Unmarshal(line, &counts) == nil {
			sum += counts.DamagedSeed
		}
	}
	return sum
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
