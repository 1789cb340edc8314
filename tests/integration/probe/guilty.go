package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// guilty makes the file `out` in the work directory, with a defect in it: something that must not
// get into a build's output does. Each is one cause that an audit has to find. `clean` has none.
//
// It is found here and not in main's table, so that all of it lies in this file.
func init() {
	if len(os.Args) == 3 && os.Args[1] == "guilty" {
		make := defects[os.Args[2]]
		if make == nil {
			fmt.Fprintln(os.Stderr, "probe: no such defect")
			os.Exit(64)
		}
		check(os.WriteFile("out", []byte(make()+"\n"), 0o644))
		os.Exit(0)
	}
}

var defects = map[string]func() string{
	"clean":       func() string { return strings.Repeat("the same\n", 1000) },
	"clock":       func() string { return time.Now().Format(time.RFC3339Nano) },
	"map":         mapOrder,
	"race":        race,
	"address":     address,
	"directory":   func() string { return text(os.Getwd()) },
	"host":        func() string { return text(os.Hostname()) },
	"user":        func() string { return fmt.Sprint(os.Getuid()) },
	"group":       func() string { return fmt.Sprint(os.Getgid()) },
	"readdir":     readdir,
	"parallelism": func() string { return fmt.Sprint(runtime.GOMAXPROCS(0)) },
	"cpus":        func() string { return fmt.Sprint(runtime.NumCPU()) },
	"umask":       umask,
	"environment": environment,
	"home":        func() string { return os.Getenv("HOME") },
	"path":        func() string { return os.Getenv("PATH") },
	"locale":      func() string { return os.Getenv("LC_ALL") + os.Getenv("LANG") },
	"zone":        func() string { return os.Getenv("TZ") },
	"kernel":      func() string { return name().release },
	"domain":      func() string { return name().domain },
	"mtime":       mtime,
	"stdin":       stdinKind,
	"tmp":         temporary,
	// Only both together are seen.
	"host and user": func() string {
		return fmt.Sprint(text(os.Hostname()) != "builder" && os.Getuid() != 65534)
	},
}

func text(found string, err error) string {
	check(err)
	return found
}

func mapOrder() string {
	many := map[int]bool{}
	for n := 0; n < 1000; n++ {
		many[n] = true
	}
	var told strings.Builder
	for n := range many {
		fmt.Fprintln(&told, n)
	}
	return told.String()
}

// race lets goroutines tell their numbers in the order in which they come to it.
func race() string {
	var lock sync.Mutex
	var all sync.WaitGroup
	var told strings.Builder
	for n := 0; n < 500; n++ {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			time.Sleep(time.Duration(n%7) * time.Microsecond)
			lock.Lock()
			defer lock.Unlock()
			fmt.Fprintln(&told, n)
		}(n)
	}
	all.Wait()
	return told.String()
}

// address tells where the kernel put the program's arguments, on its first stack.
func address() string {
	return fmt.Sprintf("%p", unsafe.Pointer(unsafe.StringData(os.Args[0])))
}

// readdir keeps the order of the file system, as (*os.File).Readdirnames gives it.
func readdir() string {
	folder, err := os.Open("/input")
	check(err)
	names, err := folder.Readdirnames(-1)
	check(err)
	return strings.Join(names, "\n")
}

// umask tells which bits a new file got that was asked for with all of them.
func umask() string {
	file, err := os.OpenFile("asked", os.O_CREATE|os.O_WRONLY, 0o777)
	check(err)
	found, err := file.Stat()
	check(err)
	return found.Mode().String()
}

// environment leaks variables that nobody has declared.
func environment() string {
	declared := "PWD HOME PATH TZ LANG LC_ALL GOMAXPROCS"
	var told []string
	for _, line := range os.Environ() {
		variable, _, _ := strings.Cut(line, "=")
		if !strings.Contains(declared, variable) {
			told = append(told, line)
		}
	}
	return strings.Join(told, "\n")
}

type told struct{ release, domain string }

func name() told {
	var found syscall.Utsname
	check(syscall.Uname(&found))
	return told{chars(found.Release[:]), chars(found.Domainname[:])}
}

// chars reads what C calls char, which is signed on some architectures only.
func chars[char int8 | uint8](found []char) string {
	var told []byte
	for _, one := range found {
		if one == 0 {
			break
		}
		told = append(told, byte(one))
	}
	return string(told)
}

func mtime() string {
	found, err := os.Stat("/input/name-00")
	check(err)
	return found.ModTime().UTC().String()
}

func stdinKind() string {
	found, err := os.Stdin.Stat()
	check(err)
	return found.Mode().Type().String()
}

func temporary() string {
	var found syscall.Statfs_t
	check(syscall.Statfs("/tmp", &found))
	return fmt.Sprint(found.Blocks)
}
