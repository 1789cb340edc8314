package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Ways to put three times as much into the work folder as the action may. Each is an action of its
// own; what of it lies there at the end is looked at from outside.
var diskAttempts = map[string]attempt{
	"disk-one-file":      oneFile,
	"disk-many-files":    func() result { return manyFiles("/work/many-") },
	"disk-deleted":       deletedFiles,
	"disk-deep":          deepFiles,
	"disk-names":         manyNames,
	"disk-hidden":        hiddenFiles,
	"disk-mapped":        mappedFile,
	"disk-attributes":    manyAttributes,
	"disk-short-lived":   shortLived,
	"disk-second-linked": secondLink,
}

const (
	workLimit  = 16 * mebibyte
	filesLimit = 2000
	workWanted = 3 * workLimit
)

func stay(total int, err error) result {
	if err != nil || total <= workLimit {
		return no(sizes(total, err))
	}
	// Long enough for whoever looks now and then.
	time.Sleep(holding)
	return yes(sizes(total, err))
}

func oneFile() result {
	ignoreSize()
	return stay(fillFile("/work/large", workWanted))
}

func manyFiles(prefix string) result {
	total := 0
	for number := 0; number < workWanted/mebibyte; number++ {
		written, err := fillFile(fmt.Sprint(prefix, number), mebibyte)
		total += written
		if err != nil {
			return stay(total, err)
		}
	}
	return stay(total, nil)
}

// deletedFiles keeps files open that no listing shows.
func deletedFiles() result {
	total := 0
	for number := 0; number < workWanted/mebibyte; number++ {
		file, err := os.Create("/work/deleted")
		if err != nil {
			return stay(total, err)
		}
		defer file.Close()
		os.Remove("/work/deleted")
		written, err := file.Write(make([]byte, mebibyte))
		total += written
		if err != nil {
			return stay(total, err)
		}
	}
	return stay(total, nil)
}

// deep goes down into folders until no path reaches there any more.
func deep(levels int, length int) error {
	name := strings.Repeat("d", length)
	for level := 0; level < levels; level++ {
		if err := os.Mkdir(name, 0o755); err != nil {
			return err
		}
		if err := syscall.Chdir(name); err != nil {
			return err
		}
	}
	return nil
}

func deepFiles() result {
	check(syscall.Chdir("/work"))
	if err := deep(40, 200); err != nil {
		return no(err)
	}
	return manyFiles("many-")
}

// hiddenFiles lie in a folder that nobody but root may look into.
func hiddenFiles() result {
	check(os.Mkdir("/work/hidden", 0o755))
	check(syscall.Chdir("/work/hidden"))
	file, err := os.Open(".")
	check(err)
	check(file.Chmod(0o300))
	return manyFiles("many-")
}

// manyNames makes empty files: what they take is the file system's own.
func manyNames() result {
	for number := 0; number < 2*filesLimit; number++ {
		name := fmt.Sprint("/work/", strings.Repeat("n", 200), number)
		descriptor, err := syscall.Open(name, syscall.O_CREAT|syscall.O_WRONLY, 0o600)
		if err != nil {
			return no(number, " names, then: ", err)
		}
		syscall.Close(descriptor)
	}
	return yes(2*filesLimit, " names")
}

// mappedFile grows a file by its pages, not by writing.
func mappedFile() result {
	total := 0
	for number := 0; number < 4; number++ {
		file, err := os.Create(fmt.Sprint("/work/mapped-", number))
		if err != nil {
			return stay(total, err)
		}
		size := workWanted / 4
		if err = file.Truncate(int64(size)); err != nil {
			return stay(total, err)
		}
		data, err := syscall.Mmap(int(file.Fd()), 0, size,
			syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil {
			return stay(total, err)
		}
		// Where the disk is full, the kernel ends this process here.
		touch(data)
		total += size
	}
	return stay(total, nil)
}

func manyAttributes() result {
	total := 0
	for number := 0; number < 2*filesLimit; number++ {
		name := fmt.Sprint("/work/attributed-", number)
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			return no(err)
		}
		value := []byte(fmt.Sprintf("%03072d", number))
		if err := syscall.Setxattr(name, "user.hostile", value, 0); err != nil {
			return no(sizes(total, err))
		}
		total += len(value)
	}
	return yes(2*filesLimit, " files with attributes, ", sizes(total, nil))
}

// shortLived fills and empties so fast that a look now and then may miss it.
func shortLived() result {
	for round := 0; round < 20; round++ {
		for number := 0; number < workWanted/mebibyte; number++ {
			if _, err := fillFile(fmt.Sprint("/work/short-", number), mebibyte); err != nil {
				return no("round ", round, ": ", err)
			}
		}
		for number := 0; number < workWanted/mebibyte; number++ {
			os.Remove(fmt.Sprint("/work/short-", number))
		}
	}
	return yes("20 times ", workWanted/mebibyte, " MiB for a moment")
}

// secondLink gives one file many names: it is counted once, and taken many times.
func secondLink() result {
	if total, err := fillFile("/work/linked", workLimit/2); err != nil {
		return no(sizes(total, err))
	}
	check(os.Mkdir("/work/out", 0o755))
	for number := 0; number < 64; number++ {
		check(os.Link("/work/linked", fmt.Sprint("/work/out/", number)))
	}
	return yes("64 names of 8 MiB")
}

// ignoreSize makes writing past the limit fail instead of ending the process.
func ignoreSize() { signal.Ignore(syscall.SIGXFSZ) }
