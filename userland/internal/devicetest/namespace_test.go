// Package devicetest tests the programs of this module together, on a device: a
// directory with the layout of the stick as the root, in namespaces of its own,
// with the real go command. The tests need Linux with user namespaces, and no
// rights; where they cannot have them they are skipped, or fail if the environment
// variable SOURCERY_REQUIRE_NAMESPACES is set.
package devicetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The test program starts itself again as the first process of the namespaces;
// these variables then tell it what to do.
const (
	rootVariable     = "DEVICETEST_ROOT"     // directory to make the root
	gorootVariable   = "DEVICETEST_GOROOT"   // directory to show as /go
	scenarioVariable = "DEVICETEST_SCENARIO" // what to play there; else the arguments are a program
	cmdlineVariable  = "DEVICETEST_CMDLINE"  // file to show as /proc/cmdline
	consoleVariable  = "DEVICETEST_CONSOLE"  // terminal to show as /dev/console
)

func TestMain(m *testing.M) {
	if root := os.Getenv(rootVariable); root != "" {
		os.Exit(firstProcess(root))
	}
	status := m.Run()
	removeDevice()
	os.Exit(status)
}

// firstProcess makes the root a device, and becomes what was asked for.
func firstProcess(root string) int {
	if err := enter(root); err != nil {
		fmt.Fprintln(os.Stderr, "devicetest:", err)
		return 99
	}
	if name := os.Getenv(scenarioVariable); name != "" {
		return play(name)
	}
	err := syscall.Exec(os.Args[1], os.Args[1:], []string{"TERM=linux"})
	fmt.Fprintln(os.Stderr, "devicetest:", os.Args[1], err)
	return 99
}

// enter mounts what the initramfs would have mounted, and changes into the root.
func enter(root string) error {
	mount := func(source, target, kind string, flags uintptr, data string) error {
		if err := syscall.Mount(source, filepath.Join(root, target), kind, flags, data); err != nil {
			return fmt.Errorf("mounting %s: %w", target, err)
		}
		return nil
	}
	failures := []error{
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		mount(os.Getenv(gorootVariable), "go", "", syscall.MS_BIND, ""),
		mount("tmpfs", "dev", "tmpfs", 0, ""),
		mount("proc", "proc", "proc", 0, ""),
		os.Mkdir(filepath.Join(root, "dev/pts"), 0o755),
	}
	bind := func(source, target string) {
		failures = append(failures, os.WriteFile(filepath.Join(root, target), nil, 0o644), mount(source, target, "", syscall.MS_BIND, ""))
	}
	for _, device := range []string{"null", "zero", "random", "urandom", "tty"} {
		bind("/dev/"+device, "dev/"+device)
	}
	if console := os.Getenv(consoleVariable); console != "" {
		bind(console, "dev/console")
	}
	if cmdline := os.Getenv(cmdlineVariable); cmdline != "" {
		failures = append(failures, mount(cmdline, "proc/cmdline", "", syscall.MS_BIND, ""))
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return errors.Join(syscall.Chroot(root), os.Chdir("/"))
}

// inNamespaces prepares a command to run as the first process of a device.
func inNamespaces(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
}

// goroot gives the Go tree of the go command that runs the tests.
var goroot = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
})

// firstProcessOf prepares this program to become the first process of a device.
func firstProcessOf(root string, arguments ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	tree, err := goroot()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, arguments...)
	command.Env = []string{rootVariable + "=" + root, gorootVariable + "=" + tree}
	inNamespaces(command)
	return command, nil
}

// run plays a scenario on a device and gives what it prints.
func run(root, scenario string) (string, error) {
	command, err := firstProcessOf(root)
	if err != nil {
		return "", err
	}
	command.Env = append(command.Env, scenarioVariable+"="+scenario)
	out, err := command.CombinedOutput()
	return string(out), err
}

// needNamespaces ends a test where the machine does not give us any.
func needNamespaces(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles a part of the standard library")
	}
	root := t.TempDir()
	for _, dir := range mountPoints {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, err := run(root, "nothing")
	if err != nil && os.Getenv("SOURCERY_REQUIRE_NAMESPACES") != "" {
		t.Fatalf("no namespaces: %v: %s", err, out)
	}
	if err != nil {
		t.Skipf("no namespaces: %v: %s", err, out)
	}
}
