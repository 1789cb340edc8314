// Package device knows where things lie on a running Sourcery device, and reads
// the file with the environment that they were built in.
//
//	/go                          the Go tree
//	/src/<module path>           source, vendored
//	/linux_<arch>/bin            prebuilt programs and stubs, read-only
//	/linux_<arch>/seed           the compile seed, read-only
//	/linux_<arch>/environment    see Environment
//	/bin                         tmpfs, compiled commands
//	/run/power                   tmpfs, commands that end the machine in good order
//	/tmp                         tmpfs, build cache and everything else
package device

import (
	"path/filepath"
	"runtime"
)

// A Layout gives the paths of a device.
type Layout struct {
	Root string // "" on the device; tests put a directory here
	Arch string // GOARCH
}

// Here gives the layout of the device that this program runs on.
func Here() Layout { return Layout{Arch: runtime.GOARCH} }

// Path gives the place of the device's absolute path p.
func (l Layout) Path(p string) string { return filepath.Join("/", l.Root, p) }

// Platform gives the directory of all that exists for one architecture only.
func (l Layout) Platform() string { return l.Path("/linux_" + l.Arch) }

// Programs gives the directory of prebuilt programs and stubs.
func (l Layout) Programs() string { return filepath.Join(l.Platform(), "bin") }

// Commands gives the directory that commands are compiled into.
func (l Layout) Commands() string { return l.Path("/bin") }

// PowerCommands gives the directory of commands that end the machine in good order.
func (l Layout) PowerCommands() string { return l.Path("/run/power") }

// Temporary gives the directory that may be filled and vanishes with a reboot.
func (l Layout) Temporary() string { return l.Path("/tmp") }

// Locks gives the directory with one lock file for each command that was
// compiled since boot.
func (l Layout) Locks() string { return l.Path("/tmp/cache/locks") }

// Work gives the directory for the compiler's unfinished files.
func (l Layout) Work() string { return l.Path("/tmp/cache/work") }

// Edits gives the directory with the copies of source that can be changed.
func (l Layout) Edits() string { return l.Path("/tmp/edit") }
