// Looking: what an action sees around it, without changing anything.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// look tells everything about the surroundings that a test compares.
func look([]string) {
	host, err := os.Hostname()
	check(err)
	directory, err := os.Getwd()
	check(err)
	old := syscall.Umask(0)
	syscall.Umask(old)
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	fields := map[string]string{}
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	root, err := names("/")
	check(err)
	say(map[string]any{
		"environment": os.Environ(),
		"host":        host,
		"user":        os.Getuid(),
		"group":       os.Getgid(),
		"groups":      fields["Groups"],
		"directory":   directory,
		"umask":       old,
		"status":      fields,
		"root":        root,
		"processes":   processes(),
		"open":        open(),
		"zone":        time.Unix(0, 0).Format("15:04 MST"),
		"stdin":       stdin(),
		"limits":      limits(),
		"session":     session(),
	})
}

func names(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found, err
}

func processes() []string {
	found := []string{}
	all, err := names("/proc")
	check(err)
	for _, name := range all {
		if _, err := strconv.Atoi(name); err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + name + "/cmdline")
		if err != nil {
			continue
		}
		program, _, _ := strings.Cut(string(line), "\x00")
		found = append(found, filepath.Base(program))
	}
	return found
}

// open lists the descriptors that were open when this program started; the runtime's own are on
// anonymous inodes.
func open() []string {
	found := []string{}
	for descriptor := 0; descriptor < 256; descriptor++ {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", descriptor))
		if err == nil && !strings.HasPrefix(target, "anon_inode:") {
			found = append(found, fmt.Sprint(descriptor))
		}
	}
	return found
}

func stdin() string {
	count, err := os.Stdin.Read(make([]byte, 1))
	return fmt.Sprint(count, " ", err)
}

func limits() map[string]uint64 {
	found := map[string]uint64{}
	for name, kind := range map[string]int{"core": syscall.RLIMIT_CORE, "fsize": syscall.RLIMIT_FSIZE} {
		var limit syscall.Rlimit
		check(syscall.Getrlimit(kind, &limit))
		found[name] = limit.Max
	}
	return found
}

// session says whether there is a controlling terminal.
func session() string {
	file, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err == nil {
		file.Close()
	}
	return words(err)
}

// list gives the names in each folder in the order in which the kernel returns them.
func list(folders []string) {
	found := map[string][]string{}
	for _, folder := range folders {
		file, err := os.Open(folder)
		check(err)
		found[folder], err = file.Readdirnames(-1)
		check(err)
	}
	say(found)
}

type mode struct {
	Mode  string
	Time  int64
	Owner uint32
	Data  string
}

// modes gives mode, modification time and owner of everything below a folder, and small contents.
func modes(folders []string) {
	found := map[string]mode{}
	for _, folder := range folders {
		check(filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			seen := mode{
				Mode:  info.Mode().String(),
				Time:  info.ModTime().Unix(),
				Owner: info.Sys().(*syscall.Stat_t).Uid,
			}
			if info.Mode().IsRegular() && info.Size() < 100 {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				seen.Data = string(data)
			}
			found[path] = seen
			return nil
		}))
	}
	say(found)
}
