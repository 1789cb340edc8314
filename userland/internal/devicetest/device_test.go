package devicetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// platform is the directory of what exists for this architecture.
const platform = "/linux_" + runtime.GOARCH

// mountPoints are the empty directories of a device.
var mountPoints = []string{"go", "bin", "tmp", "proc", "sys", "dev", "etc", "root", "run"}

// sources are the commands of the device, in the module example.com/box.
var sources = map[string]string{
	"go.mod": "module example.com/box\n\ngo 1.24\n",

	// words prints its name and arguments, a variable, and its standard input; its
	// exit status is the number in STATUS.
	"cmd/words/main.go": `package main

import (
	"io"
	"os"
	"strconv"
)

func main() {
	for _, a := range os.Args {
		os.Stdout.WriteString("<" + a + ">")
	}
	os.Stdout.WriteString(os.Getenv("WORD") + os.Getenv("GOFLAGS") + "\n")
	io.Copy(os.Stdout, os.Stdin)
	status, _ := strconv.Atoi(os.Getenv("STATUS"))
	os.Exit(status)
}
`,
	// orphan leaves a child behind that outlives it.
	"cmd/orphan/main.go": `package main

import (
	"os"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		for os.Getppid() != 1 {
			time.Sleep(time.Millisecond)
		}
		println("the orphan ends")
		return
	}
	_, err := os.StartProcess("/proc/self/exe", []string{"orphan", "child"}, &os.ProcAttr{
		Files: []*os.File{nil, nil, os.Stderr},
	})
	if err != nil {
		panic(err)
	}
}
`,
	// master tells whether it is the master of its terminal, then waits for a
	// signal from there.
	"cmd/master/main.go": `package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		println("no controlling terminal:", err.Error())
		os.Exit(1)
	}
	group, _ := syscall.Getpgid(0)
	if group != os.Getpid() {
		println("not the leader of its group")
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT)
	terminal.WriteString("master waits\n")
	<-signals
	terminal.WriteString("master interrupted\n")
}
`,
	// jobs is a shell as far as its terminal is concerned: it starts one job in the
	// foreground, and sees it stop, twice, and end.
	"cmd/jobs/main.go": `package main

import (
	"bufio"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"unsafe"
)

func main() {
	if len(os.Args) > 1 {
		lines := bufio.NewScanner(os.Stdin)
		println("the job reads")
		for lines.Scan() {
			println("the job got", lines.Text())
		}
		return
	}
	signal.Ignore(syscall.SIGTTOU)
	job, err := os.StartProcess("/proc/self/exe", []string{"jobs", "job"}, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Foreground: true, Ctty: 0},
	})
	if err != nil {
		println("jobs:", err.Error())
		os.Exit(1)
	}
	wait := func() syscall.WaitStatus {
		var status syscall.WaitStatus
		syscall.Wait4(job.Pid, &status, syscall.WUNTRACED, nil)
		give(os.Getpid())
		return status
	}
	println("stopped by", strconv.Itoa(int(wait().StopSignal())))
	syscall.Kill(-job.Pid, syscall.SIGCONT) // in the background
	println("stopped by", strconv.Itoa(int(wait().StopSignal())))
	println("once more in the foreground")
	give(job.Pid)
	syscall.Kill(-job.Pid, syscall.SIGCONT)
	println("ended by", strconv.Itoa(int(wait().Signal())))
}

// give makes a process group that of the foreground.
func give(group int) {
	g := int32(group)
	syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCSPGRP, uintptr(unsafe.Pointer(&g)))
}
`,
	// clear removes everything in /bin, as "rm /bin/*" does.
	"cmd/clear/main.go": `package main

import (
	"os"
	"path/filepath"
)

func main() {
	names, _ := filepath.Glob("/bin/*")
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			println(err.Error())
		}
	}
}
`,
	"cmd/broken/main.go":  "package main\n\nfunc main() { undefined() }\n",
	"cmd/library/code.go": "package library\n",
	"cmd/empty/README":    "no Go file here\n",

	// Its compilation takes a while: the seed does not have what it imports.
	"cmd/slow/main.go": "package main\n\nimport \"go/types\"\n\nfunc main() { println(types.Universe.String()) }\n",
}

// theDevice is made once; it is not changed by what runs on it, since all that is
// writable is memory.
var theDevice struct {
	sync.Mutex
	root string
	err  error
}

func removeDevice() {
	if theDevice.root != "" {
		os.RemoveAll(theDevice.root)
	}
}

// testDevice gives the root directory of a device with a seed.
func testDevice(t *testing.T) string {
	t.Helper()
	needNamespaces(t)
	theDevice.Lock()
	defer theDevice.Unlock()
	if theDevice.root == "" && theDevice.err == nil {
		theDevice.root, theDevice.err = makeDevice()
	}
	if theDevice.err != nil {
		t.Fatal(theDevice.err)
	}
	return theDevice.root
}

func makeDevice() (string, error) {
	root, err := os.MkdirTemp("", "devicetest-")
	if err != nil {
		return "", err
	}
	for _, dir := range append([]string{platform + "/bin"}, mountPoints...) {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return "", err
		}
	}
	write := func(path, content string, mode fs.FileMode) {
		path = filepath.Join(root, path)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode))
	}
	for name, content := range sources {
		write("/src/example.com/box/"+name, content, 0o644)
		if dir, found := strings.CutPrefix(filepath.Dir(name), "cmd/"); found {
			write(platform+"/bin/"+dir, stubLine("/src/example.com/box/cmd/"+dir), 0o755)
		}
	}
	// A source may bring a command of this name, which then must not be what runs.
	write(platform+"/bin/shutdown", stubLine("/src/example.com/box/cmd/words"), 0o755)
	write(platform+"/bin/nosource", stubLine("/src/example.com/box/cmd/none"), 0o755)
	write(platform+"/bin/badstub", stubLine("/etc"), 0o755)
	write(platform+"/bin/halfstub", "#!"+platform+"/bin/installcommand\n", 0o755)
	write(platform+"/environment", environment(platform+"/bin/buildcache -stats /tmp/stats -seed "+platform+"/seed -cache /tmp/cache/go-build"), 0o644)
	write("/etc/motd", "welcome to the test\n", 0o644)
	if err != nil {
		return "", err
	}
	if err := makePrograms(filepath.Join(root, platform, "bin")); err != nil {
		return "", err
	}
	if err := setTimes(root); err != nil {
		return "", err
	}
	out, err := run(root, "record seed")
	if err != nil {
		return "", fmt.Errorf("making the seed: %w\n%s", err, out)
	}
	return root, nil
}

func stubLine(pkg string) string {
	return "#!" + platform + "/bin/installcommand #!" + pkg + "\n"
}

// environment is a device's environment file.
func environment(cache string) string {
	return `# Written by the test.
CGO_ENABLED=0
GOCACHE=/tmp/cache/go-build
GOCACHEPROG=` + cache + `
GOFLAGS=-trimpath -buildvcs=false
GOPATH=/tmp/go
GOPROXY=off
GOROOT=/go
GOSUMDB=off
GOTELEMETRY=off
GOTOOLCHAIN=local
HOME=/tmp/home
PATH=/bin:` + platform + `/bin
TZ=UTC
`
}

// makePrograms builds the prebuilt programs.
func makePrograms(dir string) error {
	for _, name := range []string{"init", "installcommand", "buildcache"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), "sourcery/userland/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	tree, err := goroot()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(filepath.Join(tree, "bin/go"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go"), program, 0o755)
}

// setTimes gives all source the time that the stick's files have: the go command
// hashes it.
func setTimes(root string) error {
	return filepath.WalkDir(filepath.Join(root, "src"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, time.Unix(0, 0), time.Unix(0, 0))
	})
}
