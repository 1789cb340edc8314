package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// mounted is one line of /proc/self/mountinfo.
type mounted struct{ place, kind string }

// parseMounts reads proc_pid_mountinfo(5).
func parseMounts(table string) []mounted {
	found := []mounted{}
	for _, line := range strings.Split(table, "\n") {
		before, after, ok := strings.Cut(line, " - ")
		fields, kinds := strings.Fields(before), strings.Fields(after)
		if ok && len(fields) > 4 && len(kinds) > 0 {
			found = append(found, mounted{unescaped(fields[4]), kinds[0]})
		}
	}
	return found
}

// unescaped undoes the octal escapes of a path.
func unescaped(text string) string {
	for _, letter := range []string{" ", "\t", "\n", "\\"} {
		text = strings.ReplaceAll(text, fmt.Sprintf("\\%03o", letter[0]), letter)
	}
	return text
}

// tryToWrite tries to make a file wherever none may be made.
func (i *inside) tryToWrite() {
	i.written, i.open = map[string]bool{}, map[string]bool{}
	places := []string{"/", "/dev", "/dev/shm", "/proc", "/sys"}
	for _, one := range i.mounts {
		places = append(places, one.place)
		if i.mayBeWritten(one.place) || one.kind == "proc" || one.kind == "devpts" || one.kind == "mqueue" {
			continue
		}
		var found syscall.Statfs_t
		err := syscall.Statfs(one.place, &found)
		if info, told := os.Lstat(one.place); told == nil && info.Mode()&os.ModeDevice != 0 {
			continue // A device's mount says nothing of the device.
		}
		if err == nil && found.Flags&readOnly == 0 {
			i.open[one.place] = true
		}
	}
	for _, folder := range []string{"/", "/dev"} {
		names, _ := os.ReadDir(folder)
		for _, name := range names {
			places = append(places, filepath.Join(folder, name.Name()))
		}
	}
	for _, place := range places {
		if i.mayBeWritten(place) {
			continue
		}
		info, err := os.Lstat(place)
		if err != nil || !(info.IsDir() || info.Mode().IsRegular()) {
			continue
		}
		if info.IsDir() {
			unwanted := filepath.Join(place, ".launcher")
			file, err := os.OpenFile(unwanted, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err == nil {
				file.Close()
				os.Remove(unwanted)
				i.written[place] = true
			}
		} else if file, err := os.OpenFile(place, os.O_WRONLY, 0); err == nil {
			file.Close()
			i.written[place] = true
		}
	}
}

func (i *inside) mayBeWritten(place string) bool {
	return place == i.Expected.Work || place == "/tmp"
}

// wrong lists places of a kind that can be written, or whose mount is not read-only.
func (i *inside) wrong(counts func(string) bool) []string {
	found := []string{}
	for _, places := range []map[string]bool{i.written, i.open} {
		for place := range places {
			if counts(place) && !slices.Contains(found, place) {
				found = append(found, place)
			}
		}
	}
	slices.Sort(found)
	return found
}

func (i *inside) isInput(place string) bool {
	return slices.ContainsFunc(i.Expected.Inputs, func(input string) bool {
		return place == input || strings.HasPrefix(place, input+"/")
	})
}

func (i *inside) readOnlyRoot() (bool, string) {
	found := i.wrong(func(place string) bool { return !i.isInput(place) })
	if len(found) > 0 {
		return false, "can be written: " + strings.Join(found, " ")
	}
	return true, "every mount of it is read-only, and no file could be made there"
}

func (i *inside) readOnlyInputs() (bool, string) {
	found := i.wrong(i.isInput)
	if len(found) > 0 {
		return false, "can be written: " + strings.Join(found, " ")
	}
	for _, input := range i.Expected.Inputs {
		if !slices.ContainsFunc(i.mounts, func(one mounted) bool { return one.place == input }) {
			return false, input + " is no mount"
		}
	}
	return true, fmt.Sprintf("the mounts of %d input trees are read-only", len(i.Expected.Inputs))
}

func (i *inside) oneWritable() (bool, string) {
	found := i.wrong(func(string) bool { return true })
	if len(found) > 0 {
		return false, "can be written too: " + strings.Join(found, " ")
	}
	const writeAndSearch = 3
	for _, place := range []string{i.Expected.Work, "/tmp"} {
		if err := syscall.Access(place, writeAndSearch); err != nil {
			return false, fmt.Sprintf("%s cannot be written: %s", place, err)
		}
	}
	return true, "of all mounts, only those two can be written"
}

// bounded tells whether a folder is a tmpfs of so many bytes at most, and so many files.
func bounded(place string, size, files int64) (bool, string) {
	var found syscall.Statfs_t
	if err := syscall.Statfs(place, &found); err != nil {
		return false, err.Error()
	}
	if int64(found.Type) != tmpfsMagic {
		return false, fmt.Sprintf("it is no tmpfs, but of the type %#x", found.Type)
	}
	has := int64(found.Blocks) * found.Bsize
	told := fmt.Sprintf("a tmpfs of %d MiB and %d files", has>>20, found.Files)
	// The kernel rounds up to whole pages, and the folder itself is a file.
	return has <= size+int64(os.Getpagesize()) && int64(found.Files) <= files+1, told
}

func (i *inside) boundedTmp() (bool, string) {
	return bounded("/tmp", i.Limits.Tmp, i.Limits.Files)
}

func (i *inside) boundedWork() (bool, string) {
	holds, told := bounded(i.Expected.Work, i.Limits.Work, i.Limits.Files)
	if !holds && i.Facts.Room == onDisk {
		told = "there is not the memory for a tmpfs; RLIMIT_FSIZE bounds a file, and the sum is " +
			"looked at twice a second"
	}
	return holds, told
}

func (i *inside) paths() (bool, string) {
	if len(i.Facts.Folder) > 1 && strings.Contains(i.table, i.Facts.Folder) {
		return false, "/proc/self/mountinfo shows where the work directory lies"
	}
	return true, "/proc/self/mountinfo does not name the action's folder on the worker"
}
