// Times the commands of a device, on the device: the program is compiled there by
// bench/first_runs.py. Arguments are the names of stubs, none means all of them.
// For each it prints a JSON object on a line; see the type run.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// patience is how long a command may run that does not end by itself; compiling
// is not counted.
const patience = 5 * time.Second

// compiling is how long it may take to compile a command, even emulated.
const compiling = 10 * time.Minute

// A run is what came of the first run of a command. Times are in seconds.
type run struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"` // until it ended, or was there where it had to be stopped
	There   float64 `json:"there"`   // until the program was in /bin
	Status  int     `json:"status"`  // exit status, 128 + N for signal N
	Stopped bool    `json:"stopped"` // it does not end by itself
	Size    int64   `json:"size"`    // of the program, in bytes; 0 if there is none
	Words   string  `json:"words"`   // end of what it said
	Again   float64 `json:"again"`   // median of further runs by the stub, if asked for
	Bare    float64 `json:"bare"`    // the same by the program itself
}

func main() {
	stubs := "/linux_" + runtime.GOARCH + "/bin"
	names := os.Args[1:]
	repeat := len(names) > 0 && names[0] == "-again"
	if repeat {
		names = names[1:]
	}
	if len(names) == 0 {
		names = all(stubs)
	}
	out := json.NewEncoder(os.Stdout)
	for _, name := range names {
		r := first(filepath.Join(stubs, name), name)
		program := filepath.Join("/bin", name)
		if repeat && r.Size > 0 && !r.Stopped {
			r.Again = median(filepath.Join(stubs, name))
			r.Bare = median(program)
		}
		os.Remove(program) // the next one is to find as much memory as this one
		if err := out.Encode(r); err != nil {
			os.Exit(1)
		}
	}
}

// all gives the names of the stubs.
func all(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Size() > 255 {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && bytes.HasPrefix(text, []byte("#!")) {
			names = append(names, e.Name())
		}
	}
	return names
}

func command(path string) (*exec.Cmd, *bytes.Buffer) {
	words := new(bytes.Buffer)
	c := exec.Command(path, "-h")
	c.Stdout, c.Stderr = words, words
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.WaitDelay = time.Second
	return c, words
}

// first runs a stub, and stops it where it does not end.
func first(path, name string) run {
	program := filepath.Join("/bin", name)
	os.Remove(program)
	c, words := command(path)
	r := run{Name: name}
	begun := time.Now()
	if err := c.Start(); err != nil {
		r.Status, r.Words = 126, err.Error()
		return r
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := begun.Add(compiling)
	for running := true; running; {
		select {
		case err := <-ended:
			r.Seconds = time.Since(begun).Seconds()
			r.Status = status(c, err)
			running = false
		case <-tick.C:
			if r.There == 0 {
				if _, err := os.Stat(program); err == nil {
					r.There = time.Since(begun).Seconds()
					limit = time.Now().Add(patience)
				}
			}
			if time.Now().After(limit) {
				syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
				<-ended
				r.Stopped, r.Seconds = true, r.There
				running = false
			}
		}
	}
	if info, err := os.Stat(program); err == nil {
		r.Size = info.Size()
		if r.There == 0 {
			r.There = r.Seconds
		}
	}
	text := strings.ToValidUTF8(words.String(), "?")
	r.Words = text[max(0, len(text)-300):]
	return r
}

func status(c *exec.Cmd, err error) int {
	if c.ProcessState == nil {
		return 126
	}
	if w, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) && !errors.Is(err, exec.ErrWaitDelay) {
		return 126
	}
	return c.ProcessState.ExitCode()
}

// median gives the usual time of a run to its end.
func median(path string) float64 {
	var times []float64
	for range 15 {
		c, _ := command(path)
		begun := time.Now()
		c.Run()
		times = append(times, time.Since(begun).Seconds())
	}
	slices.Sort(times)
	return times[len(times)/2]
}
