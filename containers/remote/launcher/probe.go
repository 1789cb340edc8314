package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ProbeOrder is what the probe compares what it finds with.
type ProbeOrder struct {
	Facts    Facts    `json:"facts"`
	Expected Expected `json:"expected"`
	Limits   Limits   `json:"limits"`
	Domain   string   `json:"domain"`
	Umask    int      `json:"umask"`
	// Sampled says that the stage sees the action's processes.
	Sampled bool `json:"sampled"`
}

// userRule is the one of which the stage knows more.
const userRule = "unprivileged-user"

// probe is the last program: it looks at each rule from where the action will be, and becomes the
// action where all that must hold does.
func probe(command []string) int {
	order := &ProbeOrder{}
	file := os.NewFile(probeOrderFile, "order")
	err := json.NewDecoder(file).Decode(order)
	file.Close()
	if err != nil {
		fmt.Fprintf(os.Stderr, "launcher: %s\n", err)
		return refusedStatus
	}
	findings := newInside(order).findings()
	said, err := json.Marshal(findings)
	if err == nil {
		_, err = syscall.Write(findingsFile, said)
	}
	// Who judges sees more than there is to see here.
	answer := make([]byte, 8)
	if err == nil {
		var count int
		count, err = syscall.Read(findingsFile, answer)
		if err == nil && string(answer[:count]) != "go" {
			return refusedStatus // Why is told outside.
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "launcher: %s\n", err)
		return refusedStatus
	}
	closeOnExec()
	err = syscall.Exec(command[0], command, os.Environ())
	syscall.Write(findingsFile, []byte(fmt.Sprintf("%s: %s", command[0], err)))
	return refusedStatus
}

// closeOnExec keeps every descriptor but the standard ones from the action.
func closeOnExec() {
	names, _ := os.ReadDir("/proc/self/fd")
	for _, name := range names {
		if number, err := strconv.Atoi(name.Name()); err == nil && number > 2 {
			syscall.CloseOnExec(number)
		}
	}
}

// inside is what there is to see inside.
type inside struct {
	*ProbeOrder
	status map[string]string
	mounts []mounted
	table  string
	// written are the places where a file could be made, of those where none should be.
	written map[string]bool
	// open are the mounts that are not read-only.
	open map[string]bool
}

// mounted is one line of /proc/self/mountinfo.
type mounted struct{ place, kind string }

func newInside(order *ProbeOrder) *inside {
	i := &inside{ProbeOrder: order, status: readStatus("/proc/self/status")}
	data, _ := os.ReadFile("/proc/self/mountinfo")
	i.table = string(data)
	i.mounts = parseMounts(i.table)
	i.tryToWrite()
	return i
}

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

// findings looks at each rule of containers/policy.py.
func (i *inside) findings() []Finding {
	found := []Finding{}
	for _, one := range []struct {
		rule string
		look func() (bool, string)
	}{
		{"no-network", i.network},
		{"read-only-root", i.readOnlyRoot},
		{"read-only-inputs", i.readOnlyInputs},
		{"one-writable-output", i.oneWritable},
		{"bounded-tmp", i.boundedTmp},
		{"bounded-work", i.boundedWork},
		{userRule, i.user},
		{"no-capabilities", i.capabilities},
		{"no-new-privileges", i.privileges},
		{"processes", i.processes},
		{"memory", i.memory},
		{"cpus", i.cpus},
		{"time", i.time},
		{"fixed-identity", i.identity},
		{"own-namespaces", i.namespaces},
		{"no-machine-paths", i.paths},
		{"system-calls", i.systemCalls},
	} {
		holds, seen := one.look()
		state := notEnforced
		if holds {
			state = enforced
		}
		found = append(found, Finding{one.rule, state, seen})
	}
	return found
}

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

func (i *inside) paths() (bool, string) {
	if len(i.Facts.Folder) > 1 && strings.Contains(i.table, i.Facts.Folder) {
		return false, "/proc/self/mountinfo shows where the work directory lies"
	}
	return true, "/proc/self/mountinfo does not name the action's folder on the worker"
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
