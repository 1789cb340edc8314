package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Outputs that mean harm to whoever takes them. Each is an action of its own, whose output is the
// folder `out` of its work folder, and is looked at from outside.
var outputAttempts = map[string]attempt{
	"out-link-file":     func() result { return linked("/work/out", order.Secret) },
	"out-link-folder":   func() result { return linked("/work/out", filepath.Dir(order.Secret)) },
	"out-link-inside":   func() result { return linked("/work/out/link", order.Secret) },
	"out-link-parent":   func() result { return linked("/work/out/link", "../../../../../../etc") },
	"out-link-process":  func() result { return linked("/work/out/link", "/proc/self/environ") },
	"out-link-loop":     func() result { return linked("/work/out/link", "link") },
	"out-behind-link":   func() result { return linked("/work/out", filepath.Dir(order.Secret)) },
	"out-fifo":          func() result { return made(syscall.Mkfifo("/work/out/fifo", 0o666)) },
	"out-is-fifo":       isFifo,
	"out-fifo-held":     heldFifo,
	"out-socket":        outSocket,
	"out-whiteout":      func() result { return made(syscall.Mknod("/work/out/zero", syscall.S_IFCHR, 0)) },
	"out-device":        func() result { return made(syscall.Mknod("/work/out/null", syscall.S_IFCHR|0o666, 1<<8|3)) },
	"out-set-user-id":   func() result { return moded(0o6777 | os.ModeSetuid | os.ModeSetgid) },
	"out-closed":        outClosed,
	"out-hard-links":    outHardLinks,
	"out-attributes":    outAttributes,
	"out-times":         outTimes,
	"out-newline":       func() result { return named("a\nb") },
	"out-escape":        func() result { return named("\x1b[2Ja") },
	"out-control":       func() result { return named("a\u009bb") },
	"out-bidirectional": func() result { return named("a\u202eb") },
	"out-not-unicode":   func() result { return named("a\xff\xfeb") },
	"out-backslash":     func() result { return named("..\\..\\a") },
	"out-long-name":     func() result { return named(strings.Repeat("n", 255)) },
	"out-deep":          func() result { return outDeep(300, 1) },
	"out-deeper":        func() result { return outDeep(60, 200) },
	"out-many":          outMany,
	"out-sparse":        func() result { return outSparse(200) },
	"out-late-writer":   func() result { return outLate("child-writer") },
	"out-late-swapper":  func() result { return outLate("child-swapper") },
	"out-work-closed":   workClosed,
}

func folder() { check(os.MkdirAll("/work/out", 0o755)) }

func linked(at, target string) result {
	check(os.MkdirAll(filepath.Dir(at), 0o755))
	return tried(os.Symlink(target, at))
}

func made(err error) result { return tried(err) }

func init() {
	// Every attempt but those that put something else there begins with the folder.
	other := map[string]bool{"out-link-file": true, "out-link-folder": true, "out-behind-link": true,
		"out-is-fifo": true}
	for name, try := range outputAttempts {
		if other[name] {
			continue
		}
		outputAttempts[name] = func(try attempt) attempt {
			return func() result {
				folder()
				check(os.WriteFile("/work/out/file", []byte("file"), 0o644))
				return try()
			}
		}(try)
	}
}

func isFifo() result { return tried(syscall.Mkfifo("/work/out", 0o666)) }

// heldFifo leaves a process that has the fifo open, so that opening it blocks nobody.
func heldFifo() result {
	check(syscall.Mkfifo("/work/out/fifo", 0o666))
	_, err := os.OpenFile("/work/out/fifo", os.O_RDWR, 0)
	check(err)
	_, err = start("child")
	return tried(err)
}

func outSocket() result {
	socket, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check(err)
	return tried(syscall.Bind(socket, &syscall.SockaddrUnix{Name: "/work/out/socket"}))
}

func moded(mode os.FileMode) result { return tried(os.Chmod("/work/out/file", mode)) }

func outClosed() result {
	check(os.Mkdir("/work/out/inner", 0o755))
	check(os.WriteFile("/work/out/inner/file", []byte("inner"), 0))
	check(os.Chmod("/work/out/file", 0))
	check(os.Chmod("/work/out/inner", 0))
	return tried(os.Chmod("/work/out", 0))
}

func outHardLinks() result {
	for number := 0; number < 100; number++ {
		if err := os.Link("/work/out/file", fmt.Sprint("/work/out/", number)); err != nil {
			return no(err)
		}
	}
	return yes("101 names of one file")
}

func outAttributes() result {
	// The list names root with every right: posix_acl_xattr_header and its entries.
	list := []byte{2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0, 0, 0, 0, 0,
		4, 0, 7, 0, 255, 255, 255, 255, 16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 7, 0, 255, 255, 255, 255}
	one := syscall.Setxattr("/work/out/file", "user.hostile", []byte("value"), 0)
	two := syscall.Setxattr("/work/out/file", "system.posix_acl_access", list, 0)
	if one != nil && two != nil {
		return no(one, "; ", two)
	}
	return yes(one, "; ", two)
}

func outTimes() result {
	return tried(os.Chtimes("/work/out/file", time.Unix(1<<33, 0), time.Unix(-1<<31, 0)))
}

func named(name string) result {
	return tried(os.WriteFile("/work/out/"+name, []byte("named"), 0o644))
}

func outDeep(levels, length int) result {
	check(syscall.Chdir("/work/out"))
	if err := deep(levels, length); err != nil {
		return no(err)
	}
	return tried(os.WriteFile("file", []byte("deep"), 0o644))
}

func outMany() result {
	for number := 0; number < 2*filesLimit; number++ {
		descriptor, err := syscall.Open(
			fmt.Sprint("/work/out/", number), syscall.O_CREAT|syscall.O_WRONLY, 0o644)
		if err != nil {
			return no(number, " files, then: ", err)
		}
		syscall.Close(descriptor)
	}
	return yes(2*filesLimit, " files")
}

// outSparse makes files that take no room here and would take much where they are read.
func outSparse(count int) result {
	for number := 0; number < count; number++ {
		name := fmt.Sprint("/work/out/sparse-", number)
		check(os.WriteFile(name, nil, 0o644))
		if err := os.Truncate(name, workLimit); err != nil {
			return no(err)
		}
	}
	return yes(count, " files of 16 MiB")
}

// outLate leaves a process behind that goes on changing what is being taken.
func outLate(name string) result {
	for number := 0; number < 100; number++ {
		check(os.WriteFile(fmt.Sprint("/work/out/", number), []byte("early"), 0o644))
	}
	_, err := start(name)
	time.Sleep(50 * time.Millisecond)
	return tried(err)
}

func workClosed() result { return tried(os.Chmod("/work", 0)) }
