package main

import (
	"fmt"
	"os"
	"syscall"
)

// What a batch may try of the limits: it ends by itself, and soon.
var quotaAttempts = map[string]attempt{
	"quota-tmp":         tmpFill,
	"quota-tmp-deleted": tmpDeleted,
	"quota-open-files":  openFiles,
	"quota-pipe-size":   pipeSize,
	"quota-locked":      locked,
	"quota-huge-pages":  hugePages,
	"quota-watches":     watches,
	"quota-async-io":    calling(syscall.SYS_IO_SETUP, 1<<20, buffer(make([]byte, 8))),
	"quota-file-size":   fileSize,
	"quota-allocate":    allocate,
}

// tmpLimit is what the batch's action may put into /tmp.
const tmpLimit = 16 * mebibyte

func tmpFill() result {
	path := "/tmp/fill-" + order.Token
	defer os.Remove(path)
	return bounded(fillFile(path, 4*tmpLimit))
}

func bounded(total int, err error) result {
	if total > tmpLimit {
		return yes(sizes(total, err))
	}
	return no(sizes(total, err))
}

// tmpDeleted keeps files open that have no name any more.
func tmpDeleted() result {
	total := 0
	for count := 0; count < 64; count++ {
		path := fmt.Sprint("/tmp/deleted-", count)
		file, err := os.Create(path)
		if err != nil {
			return bounded(total, err)
		}
		defer file.Close()
		written, err := file.Write(make([]byte, mebibyte))
		os.Remove(path)
		total += written
		if err != nil {
			return bounded(total, err)
		}
	}
	return bounded(total, nil)
}

func openFiles() result {
	for count := 0; count < 1<<20; count++ {
		if _, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0); err != nil {
			return no(count, " files, then: ", err)
		}
	}
	return yes("a million files")
}

func pipeSize() result {
	ends := make([]int, 2)
	check(syscall.Pipe(ends))
	const setSize = 1031
	return call(syscall.SYS_FCNTL, uintptr(ends[0]), setSize, 64*mebibyte)
}

func locked() result {
	data := make([]byte, 64*mebibyte)
	return tried(syscall.Mlock(data))
}

func hugePages() result {
	const huge = 0x40000
	_, err := syscall.Mmap(-1, 0, 64*mebibyte, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|huge)
	return tried(err)
}

// watches takes what the machine lets one user watch: given back when the action ends.
func watches() result {
	for count := 0; count < 100000; count++ {
		if _, err := syscall.InotifyInit(); err != nil {
			return no(count, " watchers, then: ", err)
		}
	}
	return yes("100,000 watchers")
}

// fileSize asks for a file of an exbibyte without writing it.
func fileSize() result {
	path := "/work/sparse-" + order.Token
	check(os.WriteFile(path, nil, 0o644))
	return tried(os.Truncate(path, 1<<50))
}

func allocate() result {
	file, err := os.Create("/work/allocated")
	check(err)
	return tried(syscall.Fallocate(int(file.Fd()), 0, 0, 1<<50))
}
