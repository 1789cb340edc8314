package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

var inputAttempts = map[string]attempt{
	"input-write":       opening(inputFile, os.O_WRONLY),
	"input-append":      opening(inputFile, os.O_WRONLY|os.O_APPEND),
	"input-truncate":    func() result { return tried(os.Truncate(inputFile, 0)) },
	"input-remove":      func() result { return tried(os.Remove(inputFile)) },
	"input-rename":      func() result { return tried(os.Rename(inputFile, "/input/other")) },
	"input-move-out":    func() result { return tried(os.Rename(inputFile, "/work/moved")) },
	"input-replace":     inputReplace,
	"input-mode":        func() result { return tried(os.Chmod(inputFile, 0o777)) },
	"input-owner":       func() result { return tried(os.Chown(inputFile, os.Getuid(), os.Getgid())) },
	"input-times":       func() result { return tried(os.Chtimes(inputFile, time.Now(), time.Now())) },
	"input-attribute":   func() result { return tried(syscall.Setxattr(inputFile, "user.x", []byte("x"), 0)) },
	"input-create":      opening(inputFolder+"/new", os.O_CREATE|os.O_WRONLY),
	"input-symlink":     func() result { return tried(os.Symlink("/", inputFolder+"/link")) },
	"input-hard-link":   func() result { return tried(os.Link(inputFile, "/work/hard")) },
	"input-hard-link-2": inputLinkDescriptor,
	"input-reopen":      inputReopen,
	"input-shared-map":  inputMap,
	"input-own-memory":  inputOwnMemory,
	"input-dirty-pipe":  inputDirtyPipe,
	"input-flags":       inputFlags,
	"input-lock":        inputLock,
	"input-lease":       inputLease,
	"input-watch":       inputWatch,
	"input-cached":      inputCached,
	"input-unmount":     func() result { return tried(syscall.Unmount(inputFolder, syscall.MNT_DETACH)) },
	"input-remount": func() result {
		return tried(syscall.Mount("none", inputFolder, "", syscall.MS_REMOUNT|syscall.MS_BIND, ""))
	},
}

func inputReplace() result {
	check(os.WriteFile("/work/replacement", []byte("other"), 0o644))
	return tried(os.Rename("/work/replacement", inputFile))
}

// inputLinkDescriptor makes a second name for an open input, past the mount it came by.
func inputLinkDescriptor() result {
	file, err := os.Open(inputFile)
	check(err)
	const follow = 0x400
	from := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	return call(syscall.SYS_LINKAT, at(-100), text(from), at(-100), text("/work/hard-2"), follow)
}

func inputReopen() result {
	file, err := os.Open(inputFile)
	check(err)
	return reopened(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
}

func inputMap() result {
	file, err := os.Open(inputFile)
	check(err)
	_, err = syscall.Mmap(int(file.Fd()), 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	return tried(err)
}

// inputOwnMemory writes into a read-only mapping by way of /proc/self/mem, which forces a copy.
func inputOwnMemory() result {
	file, err := os.Open(inputFile)
	check(err)
	mapped, err := syscall.Mmap(int(file.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_PRIVATE)
	check(err)
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return no(err)
	}
	_, err = memory.WriteAt([]byte("HOSTILE"), address(mapped))
	return unchanged(fmt.Sprint("the write said ", err))
}

// inputDirtyPipe is CVE-2022-0847: a pipe whose pages were once its own takes those of a file.
func inputDirtyPipe() result {
	ends := make([]int, 2)
	check(syscall.Pipe(ends))
	// Every page of the pipe is filled once and emptied.
	piece := make([]byte, 4096)
	for page := 0; page < 16; page++ {
		_, err := syscall.Write(ends[1], piece)
		check(err)
	}
	for page := 0; page < 16; page++ {
		_, err := syscall.Read(ends[0], piece)
		check(err)
	}
	file, err := os.Open(inputFile)
	check(err)
	offset := int64(1)
	if _, err = syscall.Splice(int(file.Fd()), &offset, ends[1], nil, 1, 0); err != nil {
		return no(err)
	}
	_, err = syscall.Write(ends[1], []byte("HOSTILE"))
	check(err)
	return unchanged("written into the pipe")
}

func inputFlags() result {
	file, err := os.Open(inputFile)
	check(err)
	const setFlags = 0x40086602
	return call(syscall.SYS_IOCTL, file.Fd(), setFlags, buffer([]byte{0x10, 0, 0, 0, 0, 0, 0, 0}))
}

// inputLock locks a file that other actions read too: nothing outside asks for the lock.
func inputLock() result {
	file, err := os.Open(inputFile)
	check(err)
	return tried(syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
}

func inputLease() result {
	file, err := os.Open(inputFile)
	check(err)
	const setLease = 1024
	return call(syscall.SYS_FCNTL, file.Fd(), setLease, syscall.F_RDLCK)
}

// inputWatch asks to be told who reads an input.
func inputWatch() result {
	watching, err := syscall.InotifyInit()
	if err != nil {
		return no(err)
	}
	_, err = syscall.InotifyAddWatch(watching, inputFile, syscall.IN_ALL_EVENTS)
	return tried(err)
}

// inputCached asks which pages of an input somebody has read lately.
func inputCached() result {
	file, err := os.Open(inputFile)
	check(err)
	mapped, err := syscall.Mmap(int(file.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED)
	check(err)
	return call(syscall.SYS_MINCORE, uintptr(address(mapped)), 4096, buffer(make([]byte, 1)))
}
