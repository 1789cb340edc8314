// Package install turns a stub into a program: it compiles the stub's package
// into /bin, once, and says where the program is. It does not run it.
package install

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/filelock"
	"sourcery/userland/internal/stub"
)

// Exit statuses, as shells give them to their users (POSIX.1-2024, XCU 2.8.2).
const (
	StatusCannotRun = 126 // the command is known, and cannot be run
	StatusNotFound  = 127 // there is no such command
	StatusSignal    = 128 // plus the number of the signal that ended it
)

// A Failure is the only error of this package: what happened, what to do about
// it, and the exit status that tells it to a shell.
type Failure struct {
	Status int
	Err    error
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the reason.
func (f *Failure) Unwrap() error { return f.Err }

// Status gives the exit status that an error of this package stands for.
func Status(err error) int {
	var f *Failure
	if errors.As(err, &f) {
		return f.Status
	}
	return StatusCannotRun
}

func cannotRun(err error) *Failure { return &Failure{StatusCannotRun, err} }
func notFound(err error) *Failure  { return &Failure{StatusNotFound, err} }

// An Installer compiles commands on one device.
type Installer struct {
	Layout   device.Layout
	Stderr   io.Writer // for the compiler's words and the progress message
	Terminal bool      // whether Stderr is a terminal, so that progress is shown

	delay time.Duration // before progress is shown; defaultDelay where it is 0
}

// Install gives the path of the command's program, and compiles it if it is not
// there. Two installers of one command compile it once. When ctx ends because of
// a Signal, nothing unfinished stays behind. The error is a *Failure.
func (in *Installer) Install(ctx context.Context, c stub.Command) (string, error) {
	return in.install(ctx, c, false)
}

// Reinstall is Install for source that has changed: it compiles in any case, and
// replaces the program when that has succeeded.
func (in *Installer) Reinstall(ctx context.Context, c stub.Command) (string, error) {
	return in.install(ctx, c, true)
}

func (in *Installer) install(ctx context.Context, c stub.Command, again bool) (string, error) {
	target := filepath.Join(in.Layout.Commands(), c.Name)
	made, err := isProgram(target, c)
	if err != nil {
		return "", cannotRun(err)
	}
	if made && !again {
		return target, nil
	}
	if err := in.checkSource(c); err != nil {
		return "", notFound(err)
	}
	progress := in.startProgress(fmt.Sprintf("compiling %s ...", c.Name))
	defer progress.stop()

	release, err := in.lock(ctx, c.Name)
	if err != nil {
		return "", in.failure(ctx, c, err)
	}
	defer release()
	// Whoever held the lock has made the program in the meantime.
	if made, err = isProgram(target, c); err != nil {
		return "", cannotRun(err)
	}
	if made && !again {
		return target, nil
	}
	if err := in.make(ctx, c, target, progress); err != nil {
		return "", in.failure(ctx, c, err)
	}
	return target, nil
}

// failure gives an error from the middle of an installation its exit status.
func (in *Installer) failure(ctx context.Context, c stub.Command, err error) *Failure {
	if f := interruption(ctx); f != nil {
		f.Err = fmt.Errorf("%s: not compiled, nothing of it is left: %w", c.Name, f.Err)
		return f
	}
	return cannotRun(fmt.Errorf("%s: %w", c.Name, in.explain(err)))
}

// make compiles the command and puts it in place. The lock of the command is
// held.
func (in *Installer) make(ctx context.Context, c stub.Command, target string, words *progress) error {
	if err := in.removeLeftovers(c.Name); err != nil {
		return err
	}
	in.removeAbandoned()
	unfinished := filepath.Join(in.Layout.Commands(), unfinishedPrefix(c.Name)+strconv.Itoa(os.Getpid()))
	defer os.Remove(unfinished) // where the renaming was not reached
	if err := in.compile(ctx, c, unfinished, words); err != nil {
		return err
	}
	made, err := isProgram(unfinished, c)
	if err != nil || !made {
		return fmt.Errorf("%s is not the directory of a command: the go command made no program of package %s from it", c.Package, c.ImportPath())
	}
	return os.Rename(unfinished, target)
}

// unfinishedPrefix begins the name of a program that is not complete; the ID of
// the process that makes it follows.
func unfinishedPrefix(name string) string { return "." + name + "." }

// removeLeftovers removes what installers of this command have left in /bin when
// they were killed.
func (in *Installer) removeLeftovers(name string) error {
	entries, err := os.ReadDir(in.Layout.Commands())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		pid, found := strings.CutPrefix(entry.Name(), unfinishedPrefix(name))
		if _, err := strconv.Atoi(pid); !found || err != nil {
			continue
		}
		if err := os.Remove(filepath.Join(in.Layout.Commands(), entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// removeAbandoned removes what killed installers of other commands have left: it
// would take up memory until its command is compiled, which may be never. What
// cannot be removed is in nobody's way.
func (in *Installer) removeAbandoned() {
	entries, _ := os.ReadDir(in.Layout.Work())
	for _, entry := range entries {
		name := entry.Name()
		release, err := filelock.Try(filepath.Join(in.Layout.Locks(), name))
		if err != nil {
			continue // somebody works there: we do, or another installer
		}
		in.removeLeftovers(name)
		os.RemoveAll(filepath.Join(in.Layout.Work(), name))
		release()
	}
}

// checkSource reports whether the package directory is there at all, so that
// this is not left to the go command, whose words about it do not help.
func (in *Installer) checkSource(c stub.Command) error {
	entries, err := os.ReadDir(in.Layout.Path(c.Package))
	if err != nil {
		return fmt.Errorf("%s: no source: %w; its stub names a directory that is not on this stick", c.Name, err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !entry.IsDir() {
			return nil
		}
	}
	return fmt.Errorf("%s: no source: there is no Go file in %s", c.Name, c.Package)
}

// isProgram reports whether the file at path is the program of the command's
// package: the linker writes the package's import path into it. Anything else
// that is there belongs to the user, and is an error.
func isProgram(path string, c stub.Command) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o100 != 0 {
		if built, err := buildinfo.ReadFile(path); err == nil && built.Path == c.ImportPath() {
			return true, nil
		}
	}
	return false, fmt.Errorf("%s is in the way: it is not the program of %s; rename or delete it, and try again", path, c.Package)
}
