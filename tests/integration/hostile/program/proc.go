package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

var procAttempts = map[string]attempt{
	"proc-first-root":    func() result { return sameAs("/proc/1/root", "/") },
	"proc-first-cwd":     func() result { return belongs("/proc/1/cwd") },
	"proc-first-program": firstProgram,
	"proc-first-environ": reading("/proc/1/environ"),
	"proc-first-memory":  opening("/proc/1/mem", os.O_RDWR),
	"proc-first-files":   firstFiles,
	"proc-first-map":     writing("/proc/1/uid_map", "0 0 1"),
	"proc-own-map":       writing("/proc/self/uid_map", "0 0 4294967295"),
	"proc-other-process": otherProcesses,
	"proc-other-thread":  otherThreads,
	"proc-sys-host":      writing("/proc/sys/kernel/hostname", "hostile"),
	"proc-sys-memory":    writing("/proc/sys/vm/drop_caches", "3"),
	"proc-sys-network":   writing("/proc/sys/net/ipv4/ip_forward", "1"),
	"proc-sys-pid":       writing("/proc/sys/kernel/ns_last_pid", "100"),
	"proc-sys-modprobe":  writing("/proc/sys/kernel/modprobe", "/work/x"),
	"proc-sys-binfmt":    writing("/proc/sys/fs/binfmt_misc/register", ":x:M::x::/work/x:"),
	"proc-sysrq":         writing("/proc/sysrq-trigger", "h"),
	"proc-kcore":         reading("/proc/kcore"),
	"proc-kmsg":          reading("/proc/kmsg"),
	"proc-keys":          reading("/proc/keys"),
	"proc-timers":        reading("/proc/timer_list"),
	"proc-page-map":      pageMap,
	"proc-page-flags":    opening("/proc/kpageflags", os.O_RDONLY),
	"proc-slab":          reading("/proc/slabinfo"),
	"proc-vmalloc":       vmalloc,
	"proc-symbols":       symbols,
	"proc-irq":           writing("/proc/irq/0/smp_affinity", "1"),
	"proc-scsi":          opening("/proc/scsi/scsi", os.O_RDWR),
	"proc-oom-protect":   writing("/proc/self/oom_score_adj", "-1000"),
	"proc-login-user":    writing("/proc/self/loginuid", "0"),
	"proc-self-coredump": func() result { return reading("/proc/self/stack")() },
	"sys-tree":           sysTree,
	"sys-cgroup-write":   cgroupWrite,
	"sys-cgroup-seen":    opening("/sys/fs/cgroup", os.O_RDONLY),
}

// sameAs tells whether a link of a process leads somewhere else than a folder seen here.
func sameAs(link, folder string) result {
	there, err := os.Stat(link)
	if err != nil {
		return no(err)
	}
	here, err := os.Stat(folder)
	check(err)
	if os.SameFile(there, here) {
		return no("it is this action's own ", folder)
	}
	return yes("it leads outside")
}

// belongs tells whether a process's folder is one that can be reached here by its own name.
func belongs(link string) result {
	name, err := os.Readlink(link)
	if err != nil {
		return no(err)
	}
	return sameAs(link, name)
}

// firstProgram reads the program of the first process, where that is not one of the action's own.
func firstProgram() result {
	name, err := os.Readlink("/proc/1/exe")
	if err != nil {
		return no(err)
	}
	there, err := os.Open("/proc/1/exe")
	if err != nil {
		return no(err)
	}
	defer there.Close()
	opened, err := there.Stat()
	check(err)
	here, err := os.Stat(name)
	if err == nil && os.SameFile(opened, here) {
		return no("it is one of this action's own: ", name)
	}
	return yes("a program of the machine: ", name, ", ", opened.Size(), " bytes")
}

func firstFiles() result {
	found, err := filepath.Glob("/proc/1/fd/*")
	if err != nil {
		return no(err)
	}
	for _, path := range found {
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		state, err := file.Stat()
		file.Close()
		name, _ := os.Readlink(path)
		if err == nil && (state.Mode().IsDir() || state.Mode().IsRegular()) {
			return yes(path, " is ", name)
		}
	}
	return no("none of ", len(found), " is a file or folder that opens")
}

// otherProcesses looks for one that the engine and this action did not start.
func otherProcesses() result {
	folders, err := filepath.Glob("/proc/[0-9]*")
	check(err)
	for _, folder := range folders {
		command, err := os.ReadFile(folder + "/cmdline")
		first, _, _ := bytes.Cut(command, []byte{0})
		name := filepath.Base(string(first))
		known := name == "hostile" || name == "bwrap" || strings.HasSuffix(name, "-init") ||
			name == "exe" || name == "init"
		if err == nil && !known && len(first) > 0 {
			return yes(folder, " runs ", string(first))
		}
	}
	if _, err = os.Stat(fmt.Sprint("/proc/", order.Process)); err == nil && order.Process > 1000 {
		return yes("the machine's process ", order.Process, " is seen")
	}
	return no("the engine's first process and this action's own: ", len(folders))
}

// otherThreads reaches for numbers that a listing does not show.
func otherThreads() result {
	known := map[string]bool{}
	folders, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	for _, folder := range folders {
		known[filepath.Base(folder)] = true
	}
	for number := 1; number < 4096; number++ {
		name := strconv.Itoa(number)
		if known[name] {
			continue
		}
		if status, err := os.ReadFile("/proc/" + name + "/status"); err == nil {
			text := string(status)
			if !strings.Contains(text, "Name:\thostile") && !strings.Contains(text, "Name:\tbwrap") {
				return yes(name, " is ", strings.SplitN(text, "\n", 2)[0])
			}
		}
	}
	return no("none below 4096")
}

// pageMap reads physical addresses of its own memory: zeros without the capability.
func pageMap() result {
	file, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return no(err)
	}
	own := make([]byte, 4096)
	own[0] = 1
	entry := make([]byte, 8)
	if _, err = file.ReadAt(entry, address(own)/4096*8); err != nil {
		return no(err)
	}
	for _, part := range entry[:6] {
		if part != 0 {
			return yes("a physical address")
		}
	}
	return no("addresses are zero")
}

// symbols reads where the kernel lies in memory: zeros without the capability.
func symbols() result {
	return addresses("/proc/kallsyms")
}

func vmalloc() result {
	return addresses("/proc/vmallocinfo")
}

func addresses(path string) result {
	data, err := os.ReadFile(path)
	if err != nil {
		return no(err)
	}
	for _, line := range strings.SplitN(string(data), "\n", 50) {
		word, _, _ := strings.Cut(line, " ")
		if strings.Trim(word, "0x-") != "" && strings.HasPrefix(strings.TrimPrefix(word, "0x"), "f") {
			return yes("an address: ", word)
		}
	}
	return no("addresses are zero")
}

func sysTree() result {
	for _, path := range []string{"/sys/class/dmi/id", "/sys/class/net", "/sys/devices", "/sys/kernel"} {
		if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
			return yes(path, " holds ", entries[0].Name())
		}
	}
	return no("there is nothing below /sys")
}

// cgroupWrite looks in every place where the hierarchy is usually mounted.
func cgroupWrite() result {
	for _, name := range []string{"pids.max", "memory.max", "cgroup.procs", "memory/memory.limit_in_bytes"} {
		file, err := os.OpenFile("/sys/fs/cgroup/"+name, os.O_WRONLY, 0)
		if err == nil {
			file.Close()
			return yes(name)
		}
	}
	os.Mkdir("/tmp/cgroup", 0o755)
	return tried(syscall.Mount("none", "/tmp/cgroup", "cgroup2", 0, ""))
}
