package stick

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"sourcery/userland/internal/bootsector"
)

// A machine is where this one's devices are to be seen; tests have another.
type machine struct {
	sys string // /sys
	dev string // /dev
}

// A blockDevice is a disk or a partition, and what its first sector says.
type blockDevice struct {
	name string // in /dev
	size int64  // in bytes; 0 for a drive without a medium
	slow bool   // on a bus where others may still come: USB, SD cards
	id   string // of the FAT32 volume, "" where there is none
	what string // what begins there, in words
	err  error  // of reading it
}

func (d blockDevice) String() string {
	return fmt.Sprintf("%s (%s, %s)", d.name, formatSize(d.size), d.content())
}

func (d blockDevice) content() string {
	switch {
	case d.err != nil:
		return "cannot be read: " + d.err.Error()
	case d.size == 0:
		return "no medium"
	case d.what == "":
		return "not read yet"
	}
	return d.what
}

func formatSize(size int64) string {
	const mebibyte = 1 << 20
	if size >= 10<<30 {
		return fmt.Sprintf("%d GiB", size>>30)
	}
	return fmt.Sprintf("%d MiB", (size+mebibyte/2)/mebibyte)
}

// memoryDisks begin the names of block devices that are never a stick.
var memoryDisks = []string{"loop", "ram", "zram"}

// blockDevices gives the machine's disks and partitions, sorted by name, not yet
// read.
func (m machine) blockDevices() []blockDevice {
	folder := filepath.Join(m.sys, "class/block")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	var list []blockDevice
	for _, entry := range entries {
		if isMemoryDisk(entry.Name()) {
			continue
		}
		// The unit is 512 bytes whatever the disk's is (kernel, block/genhd.c).
		text, err := os.ReadFile(filepath.Join(folder, entry.Name(), "size"))
		if err != nil {
			continue // it has just gone
		}
		sectors, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		place, _ := os.Readlink(filepath.Join(folder, entry.Name()))
		list = append(list, blockDevice{
			name: strings.ReplaceAll(entry.Name(), "!", "/"), // as the kernel does the reverse
			size: sectors * 512,
			slow: strings.Contains(place, "/usb") || strings.Contains(place, "/mmc_host/"),
		})
	}
	return list
}

func isMemoryDisk(name string) bool {
	for _, prefix := range memoryDisks {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// read looks at the first sector of a device. It may take long where a device
// does not answer.
func (m machine) read(d blockDevice) blockDevice {
	f, err := os.Open(filepath.Join(m.dev, d.name))
	if err == nil {
		defer f.Close()
		sector := make([]byte, bootsector.Size)
		if _, err = io.ReadFull(f, sector); err == nil {
			d.id, _ = bootsector.FAT32(sector)
			d.what = bootsector.Describe(sector)
		}
	}
	d.err = reason(err)
	return d
}

// reason gives the part of an error that does not repeat the file's name.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
