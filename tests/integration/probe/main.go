// Probe runs inside an action and says, as JSON on standard output, what it sees there and what it
// is allowed to do. The tests of the engines are its only users.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	commands := map[string]func([]string){
		"look":       look,
		"list":       list,
		"modes":      modes,
		"write":      write,
		"fill":       fill,
		"scatter":    scatter,
		"privileges": privileges,
		"network":    network,
		"fork":       fork,
		"allocate":   allocate,
		"share":      share,
		"flood":      flood,
		"sleep":      sleep,
		"leave":      leave,
		"produce":    produce,
		"links":      links,
		"die":        die,
		"exit":       exit,
		"spin":       spin,
		"calls":      calls,
		"families":   families,
		"special":    special,
		"first":      first,
		"paths":      paths,
		"stall":      stall,
		"take":       take,

		"surroundings": surroundings,
		"stack":        stack,
		"read":         read,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "probe: no such command")
		os.Exit(64)
	}
	commands[os.Args[1]](os.Args[2:])
}

func say(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		panic(err)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	check(err)
	return value
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// write tries to change things in and below folders in every way it can think of.
func write(folders []string) {
	found := map[string]string{}
	try := func(name string, err error) { found[name] = words(err) }
	for _, folder := range folders {
		file, err := os.OpenFile(folder+"/probe-new", os.O_CREATE|os.O_WRONLY, 0o644)
		try("create "+folder, err)
		if err == nil {
			file.Close()
		}
		try("folder "+folder, os.Mkdir(folder+"/probe-folder", 0o755))
		try("chmod "+folder, syscall.Chmod(folder, 0o777))
		entries, _ := os.ReadDir(folder)
		for _, entry := range entries {
			path := filepath.Join(folder, entry.Name())
			// Not the entry's own type: under a mounted device lies a regular file.
			info, err := os.Lstat(path)
			if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(entry.Name(), "probe-") {
				continue
			}
			check(syscall.Access(path, 4))
			os.Chmod(path, 0o777)
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			try("append "+path, err)
			if err == nil {
				file.Close()
			}
			try("truncate "+path, syscall.Truncate(path, 0))
			try("rename "+path, os.Rename(path, path+".probe"))
			try("remove "+path, os.Remove(path))
			break
		}
	}
	say(found)
}

// fill writes to a file until that fails.
func fill(arguments []string) {
	signal.Ignore(syscall.SIGXFSZ)
	file, err := os.Create(arguments[0])
	check(err)
	defer file.Close()
	piece := make([]byte, 1<<20)
	total := 0
	for {
		count, err := file.Write(piece)
		total += count
		if err != nil {
			say(map[string]any{"written": total, "error": err.Error()})
			return
		}
		if len(arguments) > 1 && total >= number(arguments[1]) {
			say(map[string]any{"written": total, "error": ""})
			return
		}
	}
}

// scatter writes so many files of a mebibyte each, no faster than somebody can look.
func scatter(arguments []string) {
	piece := []byte(strings.Repeat("scatter ", 1<<17))
	for count := 0; count < number(arguments[1]); count++ {
		check(os.WriteFile(fmt.Sprintf("%s/%d", arguments[0], count), piece, 0o644))
		time.Sleep(10 * time.Millisecond)
	}
}

// privileges tries what only a privileged process may do.
func privileges([]string) {
	found := map[string]string{}
	try := func(name string, err error) { found[name] = words(err) }
	try("setuid", syscall.Setuid(0))
	try("setgid", syscall.Setgid(0))
	try("sethostname", syscall.Sethostname([]byte("probe")))
	try("mount", syscall.Mount("none", "/tmp", "tmpfs", 0, ""))
	try("remount", syscall.Mount("none", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND, ""))
	try("unmount", syscall.Unmount("/tmp", 0))
	try("chroot", syscall.Chroot("/tmp"))
	try("mknod", syscall.Mknod("/tmp/device", syscall.S_IFBLK|0o666, 254<<8))
	try("settime", syscall.Settimeofday(&syscall.Timeval{}))
	try("reboot", syscall.Reboot(syscall.LINUX_REBOOT_CMD_CAD_OFF))
	try("open kcore", reading("/proc/kcore"))
	try("sysctl", writing("/proc/sys/kernel/hostname"))
	try("sysrq", writing("/proc/sysrq-trigger"))
	try("device", reading("/dev/mem"))
	for name, flag := range map[string]int{
		"user namespace":  syscall.CLONE_NEWUSER,
		"mount namespace": syscall.CLONE_NEWNS,
	} {
		command := exec.Command("/proc/self/exe", "exit", "0")
		command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(flag)}
		try(name, command.Run())
	}
	say(found)
}

func reading(path string) error {
	file, err := os.Open(path)
	if err == nil {
		_, err = file.Read(make([]byte, 1))
		file.Close()
	}
	return err
}

func writing(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		file.Close()
	}
	return err
}

// network tries to reach an address by number, lists the interfaces, and the places of sockets.
func network(arguments []string) {
	found := map[string]any{}
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	check(err)
	address := &syscall.SockaddrInet4{Port: 80, Addr: [4]byte{192, 0, 2, 1}}
	found["outside"] = words(syscall.Connect(socket, address))
	socket, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	check(err)
	address = &syscall.SockaddrInet4{Port: number(arguments[0]), Addr: [4]byte{127, 0, 0, 1}}
	found["machine"] = words(syscall.Connect(socket, address))
	// An abstract socket has no place in a file system; only a network namespace hides it.
	socket, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check(err)
	found["abstract"] = words(syscall.Connect(socket, &syscall.SockaddrUnix{Name: "@" + arguments[1]}))
	lines, err := os.ReadFile("/proc/net/dev")
	check(err)
	interfaces := []string{}
	for _, line := range strings.Split(string(lines), "\n")[2:] {
		if name, _, ok := strings.Cut(line, ":"); ok {
			interfaces = append(interfaces, strings.TrimSpace(name))
		}
	}
	found["interfaces"] = interfaces
	routes, _ := os.ReadFile("/proc/net/route")
	found["routes"] = strings.Count(strings.TrimSpace(string(routes)), "\n")
	say(found)
}

// fork makes processes that do nothing until it may make no more.
func fork(arguments []string) {
	most := number(arguments[0])
	made := 0
	nap := syscall.Timespec{Sec: 1000}
	for made < most {
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			say(map[string]any{"made": made, "error": errno.Error()})
			return
		}
		if pid == 0 {
			for {
				syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&nap)), 0, 0)
			}
		}
		made++
	}
	say(map[string]any{"made": made, "error": ""})
}

// allocate takes so many bytes of memory and touches all of it, then waits.
func allocate(arguments []string) {
	wanted := number(arguments[0])
	held := [][]byte{}
	for total := 0; total < wanted; total += 1 << 20 {
		piece := make([]byte, 1<<20)
		for place := 0; place < len(piece); place += 4096 {
			piece[place] = 1
		}
		held = append(held, piece)
	}
	say(map[string]any{"allocated": len(held) << 20})
	if len(arguments) > 1 {
		time.Sleep(time.Duration(number(arguments[1])) * time.Second)
	}
	runtime.KeepAlive(held)
}

// share takes memory in several processes, each of them below what one alone may have.
func share(arguments []string) {
	many := []*exec.Cmd{}
	for count := 0; count < number(arguments[0]); count++ {
		command := exec.Command("/proc/self/exe", "allocate", arguments[1], "30")
		check(command.Start())
		many = append(many, command)
	}
	for _, command := range many {
		check(command.Wait())
	}
}

// flood writes so many bytes to standard output and as many to standard error.
func flood(arguments []string) {
	piece := []byte(strings.Repeat("x", 1023) + "\n")
	for total := 0; total < number(arguments[0]); total += len(piece) {
		os.Stdout.Write(piece)
		os.Stderr.Write(piece)
	}
}

func sleep(arguments []string) {
	fmt.Println("sleeping")
	time.Sleep(time.Duration(number(arguments[0])) * time.Second)
}

// leave starts a process that outlives this one in a session of its own, and ends.
func leave(arguments []string) {
	command := exec.Command("/proc/self/exe", append([]string{"sleep", "1000"}, arguments...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(command.Start())
	say(map[string]any{"left": command.Process.Pid})
}

// produce makes a tree of outputs below the work directory.
func produce(arguments []string) {
	for path, data := range map[string]string{
		"out/plain": "plain", "out/deep/er/file": "deeper", "single": "one", "unwanted": "no",
		"out/dé ñ": "a name that is not ASCII",
	} {
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		check(os.WriteFile(path, []byte(data), 0o600))
	}
	check(os.WriteFile("out/program", []byte("program"), 0o700))
	check(os.Mkdir("out/empty", 0o700))
	check(os.WriteFile("out/large", []byte(strings.Repeat("large", 1<<18)), 0o444))
	check(os.Link("out/plain", "out/again"))
	check(os.Chmod("out/deep/er", 0o500))
	check(os.Chmod("out/deep", 0o300))
}

// links makes outputs that are links, or lie behind them.
func links([]string) {
	check(os.Mkdir("real", 0o755))
	check(os.WriteFile("real/file", []byte("real"), 0o644))
	check(os.Symlink("real", "behind"))
	check(os.Symlink("/etc/passwd", "link"))
	check(os.Mkdir("out", 0o755))
	check(os.Symlink("/", "out/root"))
	check(os.WriteFile("out/file", []byte("out"), 0o644))
}

func die(arguments []string) {
	signal.Reset()
	check(syscall.Kill(os.Getpid(), syscall.Signal(number(arguments[0]))))
	time.Sleep(10 * time.Second)
}

func exit(arguments []string) {
	os.Exit(number(arguments[0]))
}

// spin keeps so many threads busy for a second and says how much processor time that took.
func spin(arguments []string) {
	count := number(arguments[0])
	runtime.GOMAXPROCS(count)
	end := time.Now().Add(time.Second)
	done := make(chan bool)
	for thread := 0; thread < count; thread++ {
		go func() {
			for time.Now().Before(end) {
			}
			done <- true
		}()
	}
	for thread := 0; thread < count; thread++ {
		<-done
	}
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	used := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	cpus := []string{}
	for _, line := range strings.Split(string(must(os.ReadFile("/proc/self/status"))), "\n") {
		if value, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			cpus = append(cpus, strings.TrimSpace(value))
		}
	}
	sort.Strings(cpus)
	say(map[string]any{"used": used.Seconds(), "cpus": cpus, "number": runtime.NumCPU()})
}

func must(data []byte, err error) []byte {
	check(err)
	return data
}
