// Package edit makes the source of a command writable on the running device. The
// package directory is copied into memory and the copy mounted over it, so that
// every tool finds the changed files where it expects them: installcommand, and
// "go build", "go test", "go vet" and "gofmt" typed by hand. (An overlay of the
// go command would have to be given to each of them; overlayfs does not take VFAT
// as its lower layer.)
package edit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sourcery/userland/internal/device"
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

// Open makes a directory below /src writable. One that is writable already stays
// as it is, and one that was, before somebody unmounted it, comes back with all
// that was changed in it.
func Open(l device.Layout, dir string) error {
	target := l.Path(dir)
	if mountinfo.Has(target) {
		return nil
	}
	writable := l.Path(filepath.Join("/tmp/edit", dir))
	if _, err := os.Stat(writable); errors.Is(err, os.ErrNotExist) {
		if err := treecopy.Copy(writable, target, limit); err != nil {
			os.RemoveAll(writable)
			return fmt.Errorf("copying the source: %w", err)
		}
	}
	err := syscall.Mount(writable, target, "", syscall.MS_BIND, "")
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("mounting %s over %s: %w; this takes the rights of the device's root user", writable, target, err)
	}
	if err != nil {
		return fmt.Errorf("mounting %s over %s: %w", writable, target, err)
	}
	return nil
}
