// Package emergency is the shell of last resort: part of init, so that it needs
// no compiler, no seed and nothing writable. It runs commands, and has the few
// built in that tell why nothing else works. It has no pipes, variables or
// patterns.
package emergency

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"sourcery/userland/internal/words"
)

const help = `This is init's emergency shell. It runs programs (no pipes, no variables), and has
  cd [DIR]        go to a directory
  ls [DIR]        list a directory
  cat FILE...     print files
  poweroff        stop the machine
  reboot          start it again
  exit            leave; init tries the ordinary shell again
Look at /proc/cmdline, /proc/mounts and /proc/meminfo to see what is wrong.
`

// A Shell reads lines from In until it ends or says exit.
type Shell struct {
	In       io.Reader
	Out, Err io.Writer
	// Signal reports to init what poweroff and reboot ask for.
	Signal func(syscall.Signal) error
}

// IgnoreSignals makes this process deaf to what the terminal sends to the whole
// foreground group for the command that runs: to catch signals, unlike to ignore
// them, is not inherited by the command. What stops a command would leave us
// waiting for it, so that is ignored in both.
func IgnoreSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGQUIT)
	signal.Ignore(syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
}

// Run gives the exit status of the last command.
func (s *Shell) Run() int {
	status := 0
	lines := bufio.NewReader(s.In)
	for {
		fmt.Fprint(s.Err, "emergency# ")
		line, err := lines.ReadString('\n')
		list, splitErr := words.Split(line)
		switch {
		case splitErr != nil:
			fmt.Fprintln(s.Err, splitErr)
			status = 2
		case len(list) > 0 && list[0] == "exit":
			return status
		case len(list) > 0:
			status = s.command(list[0], list[1:])
		}
		if err != nil {
			fmt.Fprintln(s.Err)
			return status
		}
	}
}

func (s *Shell) command(name string, arguments []string) int {
	builtin := map[string]func([]string) error{
		"help": func([]string) error { _, err := io.WriteString(s.Out, help); return err },
		"cd":   changeDirectory,
		"ls":   s.list,
		"cat":  s.print,
		// As in busybox's init, and in ours.
		"poweroff": func([]string) error { return s.Signal(syscall.SIGUSR2) },
		"reboot":   func([]string) error { return s.Signal(syscall.SIGTERM) },
	}
	f, found := builtin[name]
	if !found {
		return s.run(name, arguments)
	}
	if err := f(arguments); err != nil {
		fmt.Fprintf(s.Err, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

func changeDirectory(arguments []string) error {
	if len(arguments) == 0 {
		arguments = []string{"/"}
	}
	return os.Chdir(arguments[0])
}

func (s *Shell) list(arguments []string) error {
	if len(arguments) == 0 {
		arguments = []string{"."}
	}
	var failures []error
	for _, dir := range arguments {
		entries, err := os.ReadDir(dir)
		for _, entry := range entries {
			name := entry.Name()
			if entry.IsDir() {
				name += "/"
			}
			fmt.Fprintln(s.Out, name)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

func (s *Shell) print(arguments []string) error {
	var failures []error
	for _, name := range arguments {
		f, err := os.Open(name)
		if err == nil {
			_, err = io.Copy(s.Out, f)
			f.Close()
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// run starts a program and gives its exit status, as POSIX shells do.
func (s *Shell) run(name string, arguments []string) int {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	if err != nil {
		fmt.Fprintf(s.Err, "%s: not found; \"help\" lists what there is\n", name)
		return 127
	}
	command := exec.Command(path, arguments...)
	command.Args[0] = filepath.Base(name)
	command.Stdin, command.Stdout, command.Stderr = s.In, s.Out, s.Err
	err = command.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &ended):
		fmt.Fprintf(s.Err, "%s: %v\n", name, err)
		return 126
	}
	status := ended.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		fmt.Fprintf(s.Err, "%s: %s\n", name, strings.ToLower(status.Signal().String()))
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
