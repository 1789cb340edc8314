package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// What an entry of a tmpfs can cost beside its content, and room to spare, in bytes.
	entryCost = 16384
	spareRoom = 64 << 20
	// A folder of the input root, where there is no room in memory.
	stagedFolder = ".staged"

	inMemory = "memory"
	onDisk   = "disk"
)

// taken is what the inputs can take, in bytes.
func taken(request *Request) int64 {
	total := int64(spareRoom)
	for _, tree := range request.Trees {
		total += tree.Bytes + entryCost*(tree.Files+int64(len(tree.Folders))+1)
	}
	return total
}

// chooseRoom decides where inputs and work directory lie: in memory, where the kernel bounds them,
// if there is enough for them and all that the action may take; else on the farm's disk.
func chooseRoom(request *Request, available int64, free int64) (string, error) {
	needed := taken(request)
	if needed+request.Limits.Memory <= available {
		return inMemory, nil
	}
	if needed <= free {
		return onDisk, nil
	}
	return "", &refusal{"room", fmt.Sprintf(
		"the inputs take up to %d MiB, and there are %d MiB on the disk of the action's folder and "+
			"%d MiB of memory, of which the action may use %d MiB",
		needed>>20, free>>20, available>>20, request.Limits.Memory>>20)}
}

func freeOnDisk(folder string) int64 {
	var found syscall.Statfs_t
	if syscall.Statfs(folder, &found) != nil {
		return 0
	}
	return int64(found.Bavail) * found.Bsize
}

// availableMemory is what could be had now without swapping: what the machine has, or less where the
// control groups that this process sees itself in leave less.
func availableMemory(proc, groups string) int64 {
	kib, _, _ := strings.Cut(readStatus(filepath.Join(proc, "meminfo"))["MemAvailable"], " ")
	available, _ := strconv.ParseInt(kib, 10, 64)
	available *= 1024
	data, _ := os.ReadFile(filepath.Join(proc, "self", "cgroup"))
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		top, most, now := groups, "memory.max", "memory.current"
		if parts[1] != "" {
			if !strings.Contains(","+parts[1]+",", ",memory,") {
				continue
			}
			top, most, now = filepath.Join(groups, "memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"
		}
		// In a namespace of control groups the path may lead out of what is to be seen.
		for group := filepath.Clean("/" + parts[2]); ; group = filepath.Dir(group) {
			limit, err := number(filepath.Join(top, group, most))
			used, told := number(filepath.Join(top, group, now))
			if err == nil && told == nil {
				// What it holds of files on a disk can be had too.
				available = min(available, max(0, limit-used+reclaimable(filepath.Join(top, group))))
			}
			if group == "/" {
				break
			}
		}
	}
	return available
}

func reclaimable(group string) int64 {
	data, _ := os.ReadFile(filepath.Join(group, "memory.stat"))
	for _, line := range strings.Split(string(data), "\n") {
		name, value, _ := strings.Cut(line, " ")
		if name == "inactive_file" || name == "total_inactive_file" {
			found, _ := strconv.ParseInt(value, 10, 64)
			return found
		}
	}
	return 0
}

func number(file string) (int64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}
