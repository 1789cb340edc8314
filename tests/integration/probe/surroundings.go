package main

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// surroundings tells, by the name of each variation of conditions, what is seen of it. Arguments: a
// folder whose entries have an order, and a file whose modification time is asked for.
func surroundings(arguments []string) {
	directory, err := os.Getwd()
	check(err)
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	var name syscall.Utsname
	check(syscall.Uname(&name))
	var data syscall.Rlimit
	check(syscall.Getrlimit(syscall.RLIMIT_DATA, &data))
	var tmp syscall.Statfs_t
	check(syscall.Statfs("/tmp", &tmp))
	info, err := os.Stat(arguments[1])
	check(err)
	folder, err := os.Open(arguments[0])
	check(err)
	order, err := folder.Readdirnames(-1)
	check(err)
	var input syscall.Stat_t
	check(syscall.Fstat(0, &input))
	variables := map[string]string{}
	names := []string{}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		variables[name] = value
		names = append(names, name)
	}
	say(map[string]any{
		"aslr":        []string{stackOf(), stackOf()},
		"cpus":        runtime.NumCPU(),
		"directory":   directory,
		"domain":      characters(name.Domainname[:]),
		"environment": names,
		"variables":   variables,
		"group":       os.Getgid(),
		"host":        characters(name.Nodename[:]),
		"kernel":      characters(name.Release[:]),
		"memory":      strconv.FormatUint(data.Cur, 10),
		"mtime":       info.ModTime().Unix(),
		"order":       order,
		"parallelism": runtime.GOMAXPROCS(0),
		"stdin":       []any{input.Mode & syscall.S_IFMT, stdin()},
		"tmp":         tmp.Blocks * uint64(tmp.Bsize),
		"umask":       mask,
		"user":        os.Getuid(),
	})
}

// read gives all that standard input holds.
func read([]string) {
	text, err := io.ReadAll(os.Stdin)
	check(err)
	say(map[string]string{"text": string(text)})
}

// stackOf gives the address where the stack of another run of this program ends.
func stackOf() string {
	said, err := exec.Command("/proc/self/exe", "stack").Output()
	check(err)
	return string(said)
}

func stack([]string) {
	maps, err := os.ReadFile("/proc/self/maps")
	check(err)
	for _, line := range strings.Split(string(maps), "\n") {
		if strings.HasSuffix(line, "[stack]") {
			_, end, _ := strings.Cut(strings.Fields(line)[0], "-")
			say(end)
		}
	}
}

// characters gives a C string, whose elements have a sign on some architectures.
func characters[T int8 | uint8](elements []T) string {
	found := []byte{}
	for _, element := range elements {
		if element == 0 {
			break
		}
		found = append(found, byte(element))
	}
	return string(found)
}
