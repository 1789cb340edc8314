// Package edit makes the source of a command writable on the running device. The
// package directory is copied into memory and the copy mounted over it, so that
// every tool finds the changed files where it expects them: installcommand, and
// "go build", "go test", "go vet" and "gofmt" typed by hand. (An overlay of the
// go command would have to be given to each of them; overlayfs does not take VFAT
// as its lower layer.)
package edit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/filelock"
	"sourcery/userland/internal/mountinfo"
	"sourcery/userland/internal/stub"
	"sourcery/userland/internal/treecopy"
)

// limit bounds what is copied into memory, in bytes. Package directories are a
// few hundred kilobytes at most; the root of a module with all of its vendored
// packages is not meant.
const limit = 64 << 20

// Find gives the command of a stub by its name.
func Find(l device.Layout, name string) (stub.Command, error) {
	if name == "" || strings.Contains(name, "/") {
		return stub.Command{}, fmt.Errorf("%q is not the name of a command", name)
	}
	c, err := stub.Read(filepath.Join(l.Programs(), name))
	if errors.Is(err, os.ErrNotExist) {
		return stub.Command{}, fmt.Errorf("%s: there is no stub of this name in %s", name, l.Programs())
	}
	return c, err
}

// FindDirectory gives the directory below /src that is meant by the name of a
// command or by the directory's own absolute path.
func FindDirectory(l device.Layout, name string) (string, error) {
	if !filepath.IsAbs(name) {
		c, err := Find(l, name)
		return c.Package, err
	}
	dir := filepath.Clean(name)
	if !strings.HasPrefix(dir, "/src/") {
		return "", fmt.Errorf("%s is not below /src", dir)
	}
	return dir, nil
}

// Open makes a directory below /src writable, and gives the directory that is: it,
// or one above it that was made so before. One that was writable, before somebody
// unmounted it, comes back with all that was changed in it. One with a writable
// directory below it is refused, since that would be hidden.
//
// One Open works at a time, others wait for it. When ctx ends, the error is its
// cause, and nothing unfinished stays behind.
func Open(ctx context.Context, l device.Layout, dir string) (opened string, err error) {
	target := l.Path(dir)
	if info, err := os.Stat(target); err != nil {
		return "", err
	} else if !info.IsDir() {
		return "", &os.PathError{Op: "copying the source", Path: target, Err: syscall.ENOTDIR}
	}
	release, err := filelock.Take(ctx, filepath.Join(l.Edits(), "lock"))
	if err != nil {
		return "", err
	}
	defer release()
	if opened := openAround(l, dir); opened != "" {
		return opened, nil
	}
	if below, err := openBelow(l, dir); err != nil {
		return "", err
	} else if len(below) > 0 {
		return "", refusal(l, dir, below)
	}
	writable, err := makeCopy(ctx, l, dir)
	if err != nil {
		return "", fmt.Errorf("copying the source: %w", err)
	}
	err = syscall.Mount(writable, target, "", syscall.MS_BIND, "")
	if errors.Is(err, syscall.EPERM) {
		return "", fmt.Errorf("mounting %s over %s: %w; this takes the rights of the device's root user", writable, target, err)
	}
	if err != nil {
		return "", fmt.Errorf("mounting %s over %s: %w", writable, target, err)
	}
	return dir, nil
}

// makeCopy gives the copy of a directory, which it makes where there is none yet.
// It gets its name when it is complete. The lock is held.
func makeCopy(ctx context.Context, l device.Layout, dir string) (string, error) {
	unfinished := filepath.Join(l.Edits(), "unfinished")
	// What is there was left by a process that was killed.
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	writable := copyOf(l, dir)
	if _, err := os.Stat(writable); !errors.Is(err, os.ErrNotExist) {
		return writable, err
	}
	defer os.RemoveAll(unfinished) // where the renaming was not reached
	if err := treecopy.CopyContext(ctx, unfinished, l.Path(dir), limit); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(writable), 0o755); err != nil {
		return "", err
	}
	return writable, os.Rename(unfinished, writable)
}

// copyOf gives the place of the copy of a directory. The number of directories in
// its path comes first, so that no copy lies in another one, nor above it: what
// is there is a copy, and not merely the parent of one.
func copyOf(l device.Layout, dir string) string {
	return filepath.Join(l.Edits(), strconv.Itoa(strings.Count(dir, "/")), dir)
}

// isOpen reports whether the copy of a directory is what is seen in its place.
func isOpen(l device.Layout, dir string) bool {
	seen, err := os.Stat(l.Path(dir))
	if err != nil {
		return false
	}
	writable, err := os.Stat(copyOf(l, dir))
	return err == nil && os.SameFile(seen, writable)
}

// openAround gives the open directory that dir is or lies in, or "".
func openAround(l device.Layout, dir string) string {
	for ; strings.HasPrefix(dir, "/src/"); dir = filepath.Dir(dir) {
		if isOpen(l, dir) {
			return dir
		}
	}
	return ""
}

// openBelow gives the open directories that lie in dir.
func openBelow(l device.Layout, dir string) ([]string, error) {
	mounts, err := mountinfo.Read()
	if err != nil {
		return nil, err
	}
	var open []string
	for _, m := range mounts {
		name, found := strings.CutPrefix(m.Path, l.Path(dir)+"/")
		if below := filepath.Join(dir, name); found && isOpen(l, below) && !slices.Contains(open, below) {
			open = append(open, below)
		}
	}
	return open, nil
}

// refusal says why a directory is not opened, and with which commands it is, and
// all is in it that was changed below.
func refusal(l device.Layout, dir string, below []string) error {
	var first, then strings.Builder
	for _, b := range below {
		fmt.Fprintf(&first, "  umount %s\n", b)
		fmt.Fprintf(&then, "\n  rm -r %s\n  cp -r %s %s", b, copyOf(l, b), filepath.Dir(b))
	}
	return fmt.Errorf("%s: not made writable: it would hide what can be changed below it already.\n"+
		"This makes all of it writable, and keeps what was changed:\n"+
		"%s  installcommand -edit %s%s", dir, &first, dir, &then)
}
