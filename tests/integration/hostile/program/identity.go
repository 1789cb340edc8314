package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"
)

var identityAttempts = map[string]attempt{
	"identity-host-name":      hostName,
	"identity-domain-name":    domainName,
	"identity-environment":    environment,
	"identity-first-command":  firstCommand,
	"identity-mounts":         mountPaths,
	"identity-cgroup":         cgroupPath,
	"identity-machine-id":     reading("/etc/machine-id"),
	"identity-passwd":         reading("/etc/passwd"),
	"identity-resolver":       resolver,
	"identity-hosts":          hosts,
	"identity-serial":         reading("/sys/class/dmi/id/product_uuid"),
	"identity-mac-address":    macAddress,
	"identity-umask":          umask,
	"identity-time-zone":      timeZone,
	"identity-standard-input": standardInput,
	"identity-descriptors":    descriptors,
	"identity-login-user":     loginUser,
	"identity-disks":          reading("/proc/partitions"),
	"identity-boot":           reading("/proc/sys/kernel/random/boot_id"),
	"identity-release":        reading("/proc/sys/kernel/osrelease"),
	"identity-kernel-command": reading("/proc/cmdline"),
	"identity-processor":      reading("/proc/cpuinfo"),
	"identity-memory":         reading("/proc/meminfo"),
	"identity-uptime":         reading("/proc/uptime"),
	"identity-load":           reading("/proc/loadavg"),
	"identity-statistics":     reading("/proc/stat"),
	"identity-interrupts":     reading("/proc/interrupts"),
	"identity-modules":        reading("/proc/modules"),
	"identity-key-users":      reading("/proc/key-users"),
	"identity-user-map":       reading("/proc/self/uid_map"),
	"identity-clock":          clock,
	"identity-free-space":     freeSpace,
	"identity-inode":          inode,
	"identity-pressure":       reading("/proc/pressure/cpu"),
}

func hostName() result {
	name, err := os.Hostname()
	check(err)
	if name == "builder" {
		return no("it is builder")
	}
	return yes(name)
}

func domainName() result {
	var found syscall.Utsname
	check(syscall.Uname(&found))
	name := ""
	for _, char := range found.Domainname {
		if char == 0 {
			break
		}
		name += string(rune(byte(char)))
	}
	if name == "(none)" {
		return no("it is that of a machine without one")
	}
	return yes(name)
}

func environment() result {
	found := os.Environ()
	sort.Strings(found)
	if told := strings.Join(found, " "); told != "HOME=/nonexistent PWD=/work TZ=UTC" {
		return yes(told)
	}
	return no("only what the action names")
}

func firstCommand() result {
	line, err := os.ReadFile("/proc/1/cmdline")
	if err != nil {
		return no(err)
	}
	// An engine's first process may have the action's own command in its.
	told := strings.ReplaceAll(string(line), os.Args[2], "")
	return hostPaths("/proc/1/cmdline", strings.ReplaceAll(told, "\x00", " "))
}

// hostPaths tells whether a text names the folder of the machine's that the tests work in.
func hostPaths(where, told string) result {
	for _, part := range []string{"sourcery-engines", "scratch", "/var/lib/docker", "test-store", "/docker/"} {
		if place := strings.Index(told, part); place >= 0 {
			return yes(where, " holds ", told[max(place-40, 0):min(place+60, len(told))])
		}
	}
	return no("no folder of the machine's in ", where)
}

func mountPaths() result {
	for _, path := range []string{"/proc/self/mountinfo", "/proc/self/mounts", "/proc/self/mountstats"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if found := hostPaths(path, string(data)); found.Outcome == possible {
			return found
		}
	}
	return no("no folder of the machine's in /proc/self/mountinfo, mounts, mountstats")
}

func cgroupPath() result {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return no(err)
	}
	for _, line := range strings.Fields(string(data)) {
		if parts := strings.SplitN(line, ":", 3); len(parts) == 3 && parts[2] != "/" {
			return yes(line)
		}
	}
	return no("every path is /")
}

func resolver() result {
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return no(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		word, value, _ := strings.Cut(line, " ")
		if (word == "nameserver" || word == "search") && value != "127.0.0.1" && value != "." {
			return yes(line)
		}
	}
	return no("it names nobody else")
}

func hosts() result {
	data, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return no(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if line != "" && !strings.HasPrefix(line, "127.") && !strings.Contains(line, "ip6") &&
			!strings.HasPrefix(line, "#") && !strings.Contains(line, "localhost") {
			return yes(line)
		}
	}
	return no("it names this action only")
}

func macAddress() result {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return no(err)
	}
	request := make([]byte, 40)
	copy(request, "eth0")
	return call(syscall.SYS_IOCTL, uintptr(socket), syscall.SIOCGIFHWADDR, buffer(request))
}

func umask() result {
	if old := syscall.Umask(0); old != 0o022 {
		return yes(fmt.Sprintf("%o", old))
	}
	return no("it is 022")
}

func timeZone() result {
	if name, offset := time.Now().Zone(); name != "UTC" || offset != 0 {
		return yes(name)
	}
	return no("it is UTC")
}

// standardInput of the batch, whose children have none of their own.
func standardInput() result {
	name, err := os.Readlink("/proc/self/fd/0")
	if err != nil {
		return no(err)
	}
	if name == "/dev/null" {
		return no("it is /dev/null")
	}
	return yes(name)
}

// descriptors looks for one that the engine forgot to close.
func descriptors() result {
	for number := 3; number < 1024; number++ {
		name, err := os.Readlink(fmt.Sprint("/proc/self/fd/", number))
		if err == nil && !strings.HasPrefix(name, "anon_inode:") && !strings.HasPrefix(name, "/proc/") {
			return yes(number, " is ", name)
		}
	}
	return no("none but the standard ones")
}

func loginUser() result {
	data, err := os.ReadFile("/proc/self/loginuid")
	if err != nil {
		return no(err)
	}
	if string(data) == "4294967295" {
		return no("it is not set")
	}
	return yes(string(data))
}

func clock() result {
	if now := time.Now(); now.Year() > 2020 {
		return yes("the machine's time")
	}
	return no("a fixed time")
}

func freeSpace() result {
	var found syscall.Statfs_t
	if err := syscall.Statfs("/work", &found); err != nil {
		return no(err)
	}
	return yes(found.Bavail, " blocks are free")
}

func inode() result {
	var found syscall.Stat_t
	check(syscall.Stat(inputFile, &found))
	return yes("device ", found.Dev, ", inode ", found.Ino)
}

func countLines(path string) result {
	data, err := os.ReadFile(path)
	check(err)
	if count := strings.Count(string(data), "\n"); count > 1 {
		return yes(count-1, " objects in ", path)
	}
	return no("nothing is listed")
}
