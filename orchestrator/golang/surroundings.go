// Surroundings prints what an action sees around it, as one JSON object with a
// field for each variation of conditions: the proof, in an audit, that what was
// to be varied really differed. Arguments: a folder whose entries have an order,
// and a file whose modification time is asked for.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// Names of variables that have a field of their own, or that another variation sets.
var elsewhere = map[string]bool{
	"GOMAXPROCS": true, "HOME": true, "LANG": true, "LC_ALL": true, "PATH": true, "PWD": true, "TZ": true,
}

// The argument with which the program starts itself, to see where its memory lies then.
const stackOnly = "-stack"

func main() {
	if os.Args[1] == stackOnly {
		fmt.Println(stack())
		return
	}
	directory, err := os.Getwd()
	check(err)
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	file, err := os.Stat(os.Args[2])
	check(err)
	var name syscall.Utsname
	check(syscall.Uname(&name))
	var data syscall.Rlimit
	check(syscall.Getrlimit(syscall.RLIMIT_DATA, &data))
	var tmp syscall.Statfs_t
	check(syscall.Statfs("/tmp", &tmp))
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"aslr":        addresses(),
		"cpus":        runtime.NumCPU(),
		"directory":   directory,
		"domain":      text(name.Domainname[:]),
		"environment": others(),
		"group":       os.Getgid(),
		"home":        os.Getenv("HOME"),
		"host":        text(name.Nodename[:]),
		"kernel":      text(name.Release[:]),
		"locale":      os.Getenv("LANG") + " " + os.Getenv("LC_ALL"),
		// Without a limit it is above what a JSON number holds exactly.
		"memory":      fmt.Sprint(data.Cur),
		"mtime":       file.ModTime().Unix(),
		"order":       order(os.Args[1]),
		"parallelism": runtime.GOMAXPROCS(0),
		"path":        os.Getenv("PATH"),
		"stdin":       input(),
		"tmp":         fmt.Sprint(uint64(tmp.Bsize) * tmp.Blocks),
		"umask":       fmt.Sprintf("%03o", mask),
		"user":        os.Getuid(),
		"zone":        os.Getenv("TZ"),
	}))
}

// addresses says whether three runs have their stacks at one place.
func addresses() string {
	own := stack()
	for range 2 {
		said, err := exec.Command("/proc/self/exe", stackOnly).Output()
		check(err)
		if strings.TrimSpace(string(said)) != own {
			return "random"
		}
	}
	return "fixed"
}

// stack gives the address where the stack ends: /proc/self/maps of proc(5).
func stack() string {
	maps, err := os.ReadFile("/proc/self/maps")
	check(err)
	for _, line := range strings.Split(string(maps), "\n") {
		if strings.HasSuffix(line, "[stack]") {
			_, end, _ := strings.Cut(strings.Fields(line)[0], "-")
			return end
		}
	}
	return "no stack"
}

// others gives the variables without those that have fields of their own, in their order.
func others() []string {
	found := []string{}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !elsewhere[name] {
			found = append(found, variable)
		}
	}
	return found
}

// order gives a folder's entries as the file system does; os.ReadDir sorts.
func order(path string) string {
	folder, err := os.Open(path)
	check(err)
	names, err := folder.Readdirnames(-1)
	check(err)
	return strings.Join(names, " ")
}

// input says what standard input is.
func input() string {
	var status syscall.Stat_t
	if err := syscall.Fstat(0, &status); err != nil {
		return err.Error()
	}
	switch status.Mode & syscall.S_IFMT {
	case syscall.S_IFIFO:
		return "pipe"
	case syscall.S_IFCHR:
		return fmt.Sprintf("device %d:%d", status.Rdev>>8&0xfff, status.Rdev&0xff)
	case syscall.S_IFREG:
		return "file"
	}
	return "something else"
}

// text gives a C string, whose characters have a sign on some architectures.
func text[T int8 | uint8](characters []T) string {
	found := []byte{}
	for _, character := range characters {
		if character == 0 {
			break
		}
		found = append(found, byte(character))
	}
	return string(found)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "surroundings:", err)
		os.Exit(1)
	}
}
