package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Descriptors that the first program inside and bubblewrap get from the stage.
const (
	enterOrderFile = 3 + iota
	argumentsFile
	filterFile
	statusFile
	probeOrderFile
	findingsFile
	programFile
)

// EnterOrder is what the third program does before it is bubblewrap.
type EnterOrder struct {
	Limits      map[string]uint64 `json:"limits"`
	CPUs        []int             `json:"cpus"`
	Umask       int               `json:"umask"`
	Personality uintptr           `json:"personality"`
	Arguments   []string          `json:"arguments"`
}

var limitNumbers = map[string]int{
	"DATA": syscall.RLIMIT_DATA, "FSIZE": syscall.RLIMIT_FSIZE, "NOFILE": syscall.RLIMIT_NOFILE,
	"CORE": syscall.RLIMIT_CORE, "NPROC": rlimitNproc, "NICE": rlimitNice, "RTPRIO": rlimitRtprio,
}

func enter() int {
	order := &EnterOrder{}
	file := os.NewFile(enterOrderFile, "order")
	err := json.NewDecoder(file).Decode(order)
	file.Close()
	if err == nil {
		err = become(order)
	}
	fmt.Fprintf(os.Stderr, "launcher: bubblewrap cannot be started: %s\n", err)
	return refusedStatus
}

// become sets all that holds for what is executed, and executes bubblewrap.
func become(order *EnterOrder) error {
	// Nothing of the stage's rights: bubblewrap refuses to start with any.
	if _, err := call(syscall.SYS_PRCTL, prCapAmbient, prCapAmbientClearAll); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if err := joinSessionKeyring(); err != nil {
		return fmt.Errorf("an empty session keyring: %w", err)
	}
	if len(order.CPUs) > 0 {
		if err := setAffinity(order.CPUs); err != nil {
			return fmt.Errorf("processor affinity: %w", err)
		}
	}
	// Where memory runs out, the action is ended first; who changed its user may not write it yet.
	call(syscall.SYS_PRCTL, prSetDumpable, 1)
	os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	syscall.Umask(order.Umask)
	if order.Personality != 0 {
		if err := addPersonality(order.Personality); err != nil {
			return fmt.Errorf("personality: %w", err)
		}
	}
	for name, value := range order.Limits {
		number := limitNumbers[name]
		var before syscall.Rlimit
		if err := syscall.Getrlimit(number, &before); err != nil {
			return fmt.Errorf("the limit %s: %w", name, err)
		}
		value = min(value, before.Max)
		if err := syscall.Setrlimit(number, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("the limit %s: %w", name, err)
		}
	}
	resetSignals()
	return syscall.Exec(order.Arguments[0], order.Arguments, []string{})
}

// resolve turns options into bubblewrap's words. `places`: the paths that numbers stand for.
func resolve(options []Option, places map[int]string) ([]string, error) {
	words := []string{}
	for _, option := range options {
		switch {
		case option.Status:
			words = append(words, fmt.Sprint(statusFile))
		case option.Cover != "":
			words = append(words, cover(option.Cover)...)
		case option.Place != nil:
			place, ok := places[*option.Place]
			if !ok {
				return nil, fmt.Errorf("there is no place %d", *option.Place)
			}
			words = append(words, strings.TrimRight(place+"/"+option.Below, "/"))
		default:
			words = append(words, option.Text)
		}
	}
	return words, nil
}

// cover gives the words that hide a path of /proc, none where this kernel has no such thing: those
// of containers/sandbox/arguments.py.
func cover(path string) []string {
	found, err := os.Stat(path)
	switch {
	case err != nil:
		return nil
	case found.IsDir():
		return []string{"--perms", "0555", "--tmpfs", path, "--remount-ro", path}
	}
	return []string{"--ro-bind", "/dev/null", path}
}
