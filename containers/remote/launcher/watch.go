package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// How often is looked at what an action takes.
	sample = 500 * time.Millisecond
	// A tmpfs with less than this part of its size left counts as full.
	nearlyFull = 64
	// How long bubblewrap and the probe may take, even on a machine that is very busy.
	preparing = 5 * time.Minute
	// Of very many descriptors only the first ones are looked at, so that looking stays cheap.
	mostDescriptors = 20_000
)

// watch measures what a running action takes, from outside, and ends one that takes too much.
type watch struct {
	staging *staging
	// process is this one's id as /proc numbers it, 0 where that does not tell.
	process int
	// device is what shared memory without a name lies on.
	device uint64
	// free is what the disk of the work directory had at the start: bytes, and files.
	freeBytes, freeFiles int64
	// peak is the most memory that was seen, in bytes; filled, what was seen to be full.
	peak   int64
	filled string
}

func newWatch(place *staging) *watch {
	w := &watch{staging: place}
	link, err := os.Readlink("/proc/self")
	if err == nil {
		w.process, _ = strconv.Atoi(link)
	}
	w.device = sharedDevice()
	w.freeBytes, w.freeFiles = w.left()
	return w
}

// until waits for the action's end, or ends it at a limit, which it returns. `begun`: closed when the
// action begins, from when on its time counts; when that was, is returned too.
func (w *watch) until(
	ended <-chan error, process *os.Process, begun <-chan struct{},
) (string, time.Time) {
	limit := time.NewTimer(preparing)
	defer limit.Stop()
	var began time.Time
	ticks := time.NewTicker(sample)
	defer ticks.Stop()
	for {
		reason := ""
		select {
		case <-ended:
			w.lookAtRoom()
			return "", began
		case <-begun:
			began, begun = time.Now(), nil
			limit.Reset(time.Duration(w.staging.request.Limits.Seconds) * time.Second)
		case <-limit.C:
			reason = "time"
		case <-ticks.C:
			reason = w.look()
		}
		if reason != "" {
			process.Kill()
			syscall.Kill(-1, syscall.SIGKILL)
			<-ended
			return reason, began
		}
	}
}

// look tells which limit the action exceeds now; empty for none.
func (w *watch) look() string {
	w.lookAtRoom()
	if w.process == 0 {
		return w.growth(nil)
	}
	own := descendants(w.process)
	held := heldFiles(own)
	taken := w.memory(own, held)
	w.peak = max(w.peak, taken)
	if taken > w.staging.request.Limits.Memory {
		return "memory"
	}
	return w.growth(held)
}

func (w *watch) inMemory() []string {
	if w.staging.facts.Room == inMemory {
		return []string{w.staging.work, w.staging.tmp}
	}
	return []string{w.staging.tmp}
}

func (w *watch) lookAtRoom() {
	for _, place := range w.inMemory() {
		var found syscall.Statfs_t
		if syscall.Statfs(place, &found) != nil {
			continue
		}
		switch {
		case found.Bavail < found.Blocks/nearlyFull && place == w.staging.tmp:
			w.filled = "tmp"
		case found.Bavail < found.Blocks/nearlyFull:
			w.filled = "work"
		case found.Ffree == 0:
			w.filled = "files"
		}
	}
}

// inode is a file, by its device and number.
type inode struct{ device, number uint64 }

// memory is what processes take in bytes: exactly where a rough sum is above the limit, which counts
// shared memory once for each.
func (w *watch) memory(own []int, held map[inode]int64) int64 {
	files := int64(0)
	for _, place := range w.inMemory() {
		var found syscall.Statfs_t
		if syscall.Statfs(place, &found) == nil {
			files += int64(found.Blocks-found.Bfree) * found.Bsize
		}
	}
	shared := map[inode]int64{}
	rough := files
	for one, size := range held {
		if one.device == w.device {
			shared[one] = size
			rough += size
		}
	}
	for _, pid := range own {
		rough += resident(pid)
	}
	if rough <= w.staging.request.Limits.Memory {
		return rough
	}
	exact := files
	mapped := map[inode]int64{}
	for _, pid := range own {
		exact += w.mappings(pid, mapped)
	}
	for one, size := range shared {
		mapped[one] = size
	}
	for _, size := range mapped {
		exact += size
	}
	return exact
}

// resident is roughly what a process has in memory without files on a disk, never too little:
// proc_pid_status(5).
func resident(pid int) int64 {
	status := readStatus(proc(pid, "status"))
	total := int64(0)
	for _, name := range []string{"RssAnon", "RssShmem", "VmSwap", "VmPTE"} {
		total += kibibytes(status[name])
	}
	return total
}

// mappings adds what a process shares to `files`, and returns what it has for itself:
// proc_pid_smaps(5).
func (w *watch) mappings(pid int, files map[inode]int64) int64 {
	total := kibibytes(readStatus(proc(pid, "status"))["VmPTE"])
	opened, err := os.Open(proc(pid, "smaps"))
	if err != nil {
		return total
	}
	defer opened.Close()
	var here inode
	proportional := int64(0)
	lines := bufio.NewScanner(opened)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) < 2:
		case !strings.HasSuffix(fields[0], ":"):
			here = mappedInode(fields)
		case fields[0] == "Pss:":
			proportional = kibibytes(fields[1])
		case fields[0] == "SwapPss:":
			total += kibibytes(fields[1])
		case fields[0] == "Anonymous:":
			private := min(kibibytes(fields[1]), proportional)
			total += private
			if here.device == w.device {
				files[here] += proportional - private
			}
		}
	}
	return total
}

func mappedInode(fields []string) inode {
	if len(fields) < 5 {
		return inode{}
	}
	first, second, _ := strings.Cut(fields[3], ":")
	major, _ := strconv.ParseUint(first, 16, 32)
	minor, _ := strconv.ParseUint(second, 16, 32)
	number, _ := strconv.ParseUint(fields[4], 10, 64)
	// As makedev(3) puts them together.
	return inode{minor&0xff | major&0xfff<<8 | minor&^0xff<<12 | major&^0xfff<<32, number}
}

func kibibytes(text string) int64 {
	text, _, _ = strings.Cut(text, " ")
	found, _ := strconv.ParseInt(text, 10, 64)
	return found * 1024
}

func proc(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}

// descendants gives the ids of all processes that descend from one.
func descendants(ancestor int) []int {
	children := map[int][]int{}
	for _, pid := range processes() {
		data, err := os.ReadFile(proc(pid, "stat"))
		if err != nil {
			continue
		}
		// The program's name in parentheses may hold anything: proc(5).
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		if len(fields) > 1 {
			parent, _ := strconv.Atoi(string(fields[1]))
			children[parent] = append(children[parent], pid)
		}
	}
	found, waiting := []int{}, append([]int{}, children[ancestor]...)
	for len(waiting) > 0 {
		pid := waiting[len(waiting)-1]
		waiting = append(waiting[:len(waiting)-1], children[pid]...)
		found = append(found, pid)
	}
	return found
}

func processes() []int {
	opened, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer opened.Close()
	names, _ := opened.Readdirnames(-1)
	found := []int{}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// heldFiles gives the bytes of each file without a name that a process holds open.
func heldFiles(own []int) map[inode]int64 {
	found := map[inode]int64{}
	looked := 0
	for _, pid := range own {
		names, err := os.ReadDir(proc(pid, "fd"))
		if err != nil {
			continue
		}
		for _, name := range names {
			if looked++; looked > mostDescriptors {
				return found
			}
			var status syscall.Stat_t
			err := syscall.Stat(proc(pid, "fd/"+name.Name()), &status)
			if err == nil && status.Nlink == 0 && status.Mode&syscall.S_IFMT == syscall.S_IFREG {
				found[inode{uint64(status.Dev), status.Ino}] = int64(status.Blocks) * 512
			}
		}
	}
	return found
}

// sharedDevice is the device that shared memory without a name lies on: that of a mapping of it.
func sharedDevice() uint64 {
	memory, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_ANON)
	if err != nil {
		return 0
	}
	defer syscall.Munmap(memory)
	data, _ := os.ReadFile("/proc/self/maps")
	for _, line := range strings.Split(string(data), "\n") {
		if strings.Contains(line, "/dev/zero (deleted)") {
			return mappedInode(strings.Fields(line)).device
		}
	}
	return 0
}

// growth tells whether a work directory on a disk has outgrown its limits. Counting its files costs,
// so that is done only when the file system has lost as much room.
func (w *watch) growth(held map[inode]int64) string {
	if w.staging.facts.Room == inMemory {
		return ""
	}
	limits := w.staging.request.Limits
	bytesNow, filesNow := w.left()
	if w.freeBytes-bytesNow <= limits.Work && w.freeFiles-filesNow <= limits.Files {
		return ""
	}
	size, count := int64(0), int64(0)
	for _, one := range held {
		size += one
	}
	filepath.WalkDir(w.staging.work, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		count++
		if found, err := entry.Info(); err == nil {
			size += found.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	switch {
	case size > limits.Work:
		return "work"
	case count > limits.Files:
		return "files"
	}
	return ""
}

func (w *watch) left() (int64, int64) {
	var found syscall.Statfs_t
	if syscall.Statfs(w.staging.work, &found) != nil {
		return 0, 0
	}
	return int64(found.Bfree) * found.Bsize, int64(found.Ffree)
}
