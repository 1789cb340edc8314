package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Ways to outlive a limit or the action itself. Each is an action of its own.
var endingAttempts = map[string]attempt{
	"memory-part":          memoryPart,
	"end-sleep":            func() result { return forever() },
	"end-ignore-signals":   ignoreSignals,
	"end-busy":             busy,
	"end-stop-itself":      func() result { return itself(syscall.SIGSTOP) },
	"end-kill-itself":      func() result { return itself(syscall.SIGKILL) },
	"end-kill-all":         killAll,
	"end-daemon":           daemon,
	"end-daemon-stopped":   daemonStopped,
	"end-closed-streams":   closedStreams,
	"end-fork-bomb":        forkBomb,
	"end-fork-chain":       forkChain,
	"end-fork-link":        forkLink,
	"end-thread-bomb":      threadBomb,
	"end-log-flood":        func() result { return flood(os.Stdout) },
	"end-log-flood-errors": func() result { return flood(os.Stderr) },
	"end-many-processors":  manyProcessors,
	"terminal-escapes":     escapes,
	"child":                func() result { return forever() },
	"child-writer":         childWriter,
	"child-swapper":        childSwapper,
}

func forever() result {
	time.Sleep(time.Hour)
	return yes("an hour passed")
}

func ignoreSignals() result {
	signal.Ignore()
	return forever()
}

// busy keeps every processor so for ever.
func busy() result {
	signal.Ignore()
	for number := 0; number < 2*runtime.NumCPU(); number++ {
		go func() {
			for {
			}
		}()
	}
	return forever()
}

func itself(number syscall.Signal) result {
	check(syscall.Kill(os.Getpid(), number))
	time.Sleep(time.Second)
	return yes("it goes on after ", number)
}

func killAll() result {
	syscall.Kill(-1, syscall.SIGKILL)
	time.Sleep(100 * time.Millisecond)
	return yes("sent to all that it may, and it goes on")
}

// start begins another attempt in a session of its own; its streams are this one's.
func start(name string) (*exec.Cmd, error) {
	child := exec.Command(os.Args[0], "one", os.Args[2], name)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return child, child.Start()
}

func daemon() result {
	_, err := start("child")
	return tried(err)
}

func daemonStopped() result {
	child, err := start("child")
	if err == nil {
		err = child.Process.Signal(syscall.SIGSTOP)
	}
	return tried(err)
}

func closedStreams() result {
	for descriptor := 0; descriptor < 3; descriptor++ {
		syscall.Close(descriptor)
	}
	return forever()
}

// forkBomb starts as many processes as it can, and ends.
func forkBomb() result {
	for count := 0; count < 1000; count++ {
		if _, err := start("child"); err != nil {
			return no(count, " processes, then: ", err)
		}
	}
	return yes("1,000 processes")
}

// forkChain never stops to start processes that start processes.
func forkChain() result {
	for {
		start("end-fork-link")
		time.Sleep(time.Millisecond)
	}
}

func forkLink() result {
	start("end-fork-link")
	start("end-fork-link")
	return forever()
}

func threadBomb() result {
	stuck := make([]int, 2)
	check(syscall.Pipe(stuck))
	for count := 0; count < 1000; count++ {
		go func() {
			runtime.LockOSThread()
			syscall.Read(stuck[0], make([]byte, 1))
		}()
	}
	// The runtime ends the whole process when it cannot have one more thread.
	time.Sleep(2 * time.Second)
	threads, err := os.ReadDir("/proc/self/task")
	check(err)
	return yes(len(threads), " threads")
}

func flood(stream *os.File) result {
	line := []byte(strings.Repeat("hostile ", 8191) + "\n")
	for count := 0; count < 256; count++ {
		if _, err := stream.Write(line); err != nil {
			return no(err)
		}
	}
	return yes("16 MiB")
}

// manyProcessors takes back the processors that the engine left out, and uses two.
func manyProcessors() result {
	mask := make([]byte, 128)
	for place := range mask {
		mask[place] = 255
	}
	syscall.Syscall(syscall.SYS_SCHED_SETAFFINITY, 0, 128, buffer(mask))
	var before, after syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	began := time.Now()
	runtime.GOMAXPROCS(4)
	for number := 0; number < 4; number++ {
		go func() {
			runtime.LockOSThread()
			syscall.Syscall(syscall.SYS_SCHED_SETAFFINITY, 0, 128, buffer(mask))
			for {
			}
		}()
	}
	time.Sleep(2 * time.Second)
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	used := time.Duration(after.Utime.Nano()-before.Utime.Nano()).Seconds() /
		time.Since(began).Seconds()
	mine, _ := os.ReadFile("/proc/self/status")
	_, list, _ := strings.Cut(string(mine), "Cpus_allowed_list:")
	list, _, _ = strings.Cut(strings.TrimSpace(list), "\n")
	told := fmt.Sprintf("used %.1f processors, allowed on %s", used, list)
	if used < 1.3 && !strings.ContainsAny(list, "-,") {
		return no(told)
	}
	if used < 1.3 {
		return result{Outcome: refused, Detail: told}
	}
	return yes(told)
}

// escapes says what a terminal would obey.
func escapes() result {
	words := "\x1b]0;hostile\a\x1b[2J\x1b[31m\xc2\x9b31m\u202e\r\x00\xff"
	fmt.Fprintln(os.Stderr, words, order.Token)
	return yes(order.Token)
}

// memoryPart is one of several processes that each keep within the limit.
func memoryPart() result {
	for total := 0; total < wanted/8; total += piece {
		data, err := syscall.Mmap(-1, 0, piece, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			return no(err)
		}
		touch(data)
	}
	return forever()
}

// childWriter outlives the action that started it and goes on writing into its output.
func childWriter() result {
	for count := 0; ; count++ {
		os.WriteFile("/work/out/file", []byte(fmt.Sprint(count)), 0o644)
		os.WriteFile(fmt.Sprint("/work/out/", count%100), []byte("late"), 0o644)
	}
}

// childSwapper puts a link in the output's place, and the output back, as fast as it can.
func childSwapper() result {
	for {
		os.Rename("/work/out", "/work/kept")
		os.Symlink(order.Secret, "/work/out")
		os.Remove("/work/out")
		os.Rename("/work/kept", "/work/out")
	}
}
