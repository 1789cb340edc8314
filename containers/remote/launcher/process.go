package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func (i *inside) network() (bool, string) {
	interfaces := []string{}
	data, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return false, err.Error()
	}
	for _, line := range strings.Split(string(data), "\n") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			interfaces = append(interfaces, strings.TrimSpace(name))
		}
	}
	routes := 0
	data, err = os.ReadFile("/proc/net/route")
	if err != nil {
		return false, err.Error()
	}
	if lines := strings.Split(strings.TrimSpace(string(data)), "\n"); len(lines) > 1 {
		routes = len(lines) - 1
	}
	if len(interfaces) == 1 && interfaces[0] == "lo" && routes == 0 {
		return true, "the only interface is loopback, and there is no route"
	}
	return false, fmt.Sprintf("interfaces %s, and %d routes", strings.Join(interfaces, " "), routes)
}

func (i *inside) user() (bool, string) {
	told := []string{}
	for _, name := range []string{"Uid", "Gid"} {
		fields := strings.Fields(i.status[name])
		wanted := i.Expected.User
		if name == "Gid" {
			wanted = i.Expected.Group
		}
		for _, field := range fields {
			if id, err := strconv.Atoi(field); err != nil || id != wanted || id == 0 {
				told = append(told, fmt.Sprintf("%s is %s", strings.ToLower(name), i.status[name]))
				break
			}
		}
		if len(fields) != 4 {
			told = append(told, "no "+name)
		}
	}
	if len(told) > 0 {
		return false, strings.Join(told, ", ")
	}
	return true, fmt.Sprintf("user %d inside", i.Expected.User)
}

func (i *inside) capabilities() (bool, string) {
	for _, name := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if value := i.status[name]; strings.Trim(value, "0") != "" || value == "" {
			return false, name + " is " + value
		}
	}
	return true, "all five sets are empty"
}

func (i *inside) privileges() (bool, string) {
	return i.status["NoNewPrivs"] == "1", "NoNewPrivs is " + i.status["NoNewPrivs"]
}

func (i *inside) processes() (bool, string) {
	var found syscall.Rlimit
	if err := syscall.Getrlimit(rlimitNproc, &found); err != nil {
		return false, err.Error()
	}
	if found.Max > uint64(i.Limits.Processes) {
		return false, fmt.Sprintf("RLIMIT_NPROC is %d", found.Max)
	}
	if i.Facts.ActionUser == i.Facts.User && !countsByNamespace(i.Facts.Kernel) {
		return false, fmt.Sprintf("RLIMIT_NPROC is %d, and counts what the user runs besides", found.Max)
	}
	return true, fmt.Sprintf("RLIMIT_NPROC is %d, of a user or a user namespace of its own", found.Max)
}

// countsByNamespace tells whether RLIMIT_NPROC counts a user's processes in each user namespace by
// itself: since Linux 5.14.
func countsByNamespace(kernel string) bool {
	var major, minor int
	fmt.Sscanf(kernel, "%d.%d", &major, &minor)
	return major > 5 || (major == 5 && minor >= 14)
}

func (i *inside) memory() (bool, string) {
	var found syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &found); err != nil {
		return false, err.Error()
	}
	told := fmt.Sprintf("RLIMIT_DATA is %d MiB for the private memory of one process; ", found.Max>>20)
	if i.Sampled {
		return false, told + "what all of them have, shared memory and files in memory too, is looked " +
			"at twice a second, and buffers of sockets and pipes are not seen"
	}
	return false, told + "what all of them have together is not bounded, since the worker's /proc does " +
		"not show them"
}

func (i *inside) cpus() (bool, string) {
	count := len(affinity())
	if i.Limits.CPUs == 0 {
		return true, fmt.Sprintf("the policy allows all processors, here %d", count)
	}
	return false, fmt.Sprintf("processor affinity to %d, which a program can undo", count)
}

func (i *inside) time() (bool, string) {
	return i.Limits.Seconds > 0, fmt.Sprintf("ended after %d seconds by the launcher, which watches it", i.Limits.Seconds)
}

func (i *inside) identity() (bool, string) {
	wrong := []string{}
	if host, err := os.Hostname(); err != nil || host != i.Expected.Host {
		wrong = append(wrong, "the host name is "+host)
	}
	if directory, err := os.Getwd(); err != nil || directory != i.Expected.Directory {
		wrong = append(wrong, "the folder is "+directory)
	}
	if !slices.Equal(slices.Sorted(slices.Values(os.Environ())), slices.Sorted(slices.Values(i.Expected.Environment))) {
		names := []string{}
		for _, variable := range os.Environ() {
			name, _, _ := strings.Cut(variable, "=")
			names = append(names, name)
		}
		wrong = append(wrong, "the environment is another: "+strings.Join(names, " "))
	}
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	if mask != i.Umask {
		wrong = append(wrong, fmt.Sprintf("the umask is %03o", mask))
	}
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil || (i.Domain != "" && chars(name.Domainname[:]) != i.Domain) {
		wrong = append(wrong, "the domain is "+chars(name.Domainname[:]))
	}
	if len(wrong) > 0 {
		return false, strings.Join(wrong, ", ")
	}
	return true, fmt.Sprintf("host name, folder, umask and all %d variables are those wanted", len(os.Environ()))
}

// devices are what bubblewrap makes in /dev.
var devices = []string{
	"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
	"stdin", "stdout", "tty", "urandom", "zero",
}

func (i *inside) namespaces() (bool, string) {
	wrong := []string{}
	for _, kind := range namespaceKinds {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil || own == i.Facts.Namespaces[kind] || i.Facts.Namespaces[kind] == "" {
			wrong = append(wrong, "the namespace "+kind+" is the worker's")
		}
	}
	for _, pid := range processes() {
		if pid != 1 && pid != os.Getpid() {
			wrong = append(wrong, fmt.Sprintf("there is a process %d", pid))
		}
	}
	if file, err := os.Open("/proc/1/status"); err == nil {
		file.Close()
		wrong = append(wrong, "the first process is to be seen")
	}
	names, err := os.ReadDir("/dev")
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	for _, name := range names {
		if !slices.Contains(devices, name.Name()) {
			wrong = append(wrong, "there is /dev/"+name.Name())
		}
	}
	if len(wrong) > 0 {
		return false, strings.Join(wrong, ", ")
	}
	return true, "all seven namespaces are others than the worker's; no process but its own is seen, " +
		"and no device"
}

// Numbers that every architecture shares, and flags.
const (
	ioUringSetup = 425
	clone3       = 435
	cloneNewUser = 0x10000000
	familyVsock  = 40
)

// systemCalls tries some that reach past the isolation; none of them would do anything by itself.
func (i *inside) systemCalls() (bool, string) {
	wrong := []string{}
	if i.status["Seccomp"] != "2" {
		wrong = append(wrong, "Seccomp is "+i.status["Seccomp"])
	}
	for _, one := range []struct {
		name  string
		error syscall.Errno
		call  []uintptr
	}{
		{"unshare", syscall.EPERM, []uintptr{syscall.SYS_UNSHARE, cloneNewUser}},
		{"keyctl", syscall.EPERM, []uintptr{syscall.SYS_KEYCTL, 0, 0}},
		{"mount", syscall.EPERM, []uintptr{syscall.SYS_MOUNT}},
		{"ptrace", syscall.EPERM, []uintptr{syscall.SYS_PTRACE}},
		{"bind", syscall.EPERM, []uintptr{syscall.SYS_BIND, ^uintptr(0)}},
		{"io_uring_setup", syscall.EPERM, []uintptr{ioUringSetup}},
		{"clone3", syscall.ENOSYS, []uintptr{clone3}},
		{"a socket to the hypervisor", syscall.EAFNOSUPPORT, []uintptr{syscall.SYS_SOCKET, familyVsock, syscall.SOCK_STREAM}},
	} {
		if _, err := call(one.call[0], one.call[1:]...); err != one.error {
			wrong = append(wrong, fmt.Sprintf("%s gives %v", one.name, err))
		}
	}
	if len(wrong) > 0 {
		return false, strings.Join(wrong, ", ")
	}
	return true, "a filter is loaded, and refused eight calls that were tried"
}
