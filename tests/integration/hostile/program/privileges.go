package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

var privilegeAttempts = map[string]attempt{
	"become-root-user":      becoming(syscall.SYS_SETUID, 0),
	"become-root-group":     becoming(syscall.SYS_SETGID, 0),
	"become-other-user":     becoming(syscall.SYS_SETRESUID, 1, 1, 1),
	"become-fs-user":        fsUser,
	"join-groups":           calling(syscall.SYS_SETGROUPS, 1, buffer(make([]byte, 8))),
	"capabilities-set":      capabilitiesSet,
	"capabilities-held":     capabilitiesHeld,
	"capabilities-ambient":  calling(syscall.SYS_PRCTL, 47, 2, 21, 0, 0),
	"capabilities-bounding": calling(syscall.SYS_PRCTL, 24, 21, 0, 0, 0),
	"secure-bits":           calling(syscall.SYS_PRCTL, 28, 1, 0, 0, 0),
	"new-privileges":        newPrivileges,
	"memory-layout":         calling(syscall.SYS_PRCTL, 35, 13, 0, 0, 0),
	"io-flusher":            calling(syscall.SYS_PRCTL, 57, 1, 0, 0, 0),
	"nice-below-zero":       calling(syscall.SYS_SETPRIORITY, 0, 0, at(-5)),
	"nice-first-process":    calling(syscall.SYS_SETPRIORITY, 0, 1, 19),
	"real-time":             realTime,
	"io-real-time":          calling(syscall.SYS_IOPRIO_SET, 1, 0, 1<<13),
	"raise-limits":          raiseLimits,
	"first-process-limits":  calling(syscall.SYS_PRLIMIT64, 1, 7, buffer(make([]byte, 16)), 0),
	"host-name":             func() result { return tried(syscall.Sethostname([]byte("hostile"))) },
	"domain-name":           func() result { return tried(syscall.Setdomainname([]byte("hostile"))) },
	"clock-settimeofday":    func() result { return tried(syscall.Settimeofday(&syscall.Timeval{Sec: 1 << 30})) },
	"clock-settime":         calling(syscall.SYS_CLOCK_SETTIME, 0, buffer(make([]byte, 16))),
	"clock-adjust":          clockAdjust(syscall.SYS_ADJTIMEX),
	"clock-adjust-2":        clockAdjust(sysClockAdjtime, 0),
	"clock-wake-alarm":      calling(syscall.SYS_TIMER_CREATE, 8, 0, buffer(make([]byte, 8))),
	"reboot":                func() result { return tried(syscall.Reboot(syscall.LINUX_REBOOT_CMD_CAD_OFF)) },
	"hang-up":               calling(syscall.SYS_VHANGUP),
	"accounting":            calling(syscall.SYS_ACCT, text("/work/accounting")),
	"kernel-log":            calling(syscall.SYS_SYSLOG, 3, buffer(make([]byte, 512)), 512),
	"kernel-log-clear":      calling(syscall.SYS_SYSLOG, 5, 0, 0),
	"swap-off":              calling(syscall.SYS_SWAPOFF, text("/dev/vda")),
}

// becoming makes a system call that would change who this is. An id that the user namespace does not
// know is a wrong argument to the kernel, and so a refusal.
func becoming(number uintptr, arguments ...uintptr) attempt {
	return func() result {
		user, group := os.Getuid(), os.Getgid()
		found := call(number, arguments...)
		if os.Getuid() == user && os.Getgid() == group {
			return no("it stays ", user, ":", group, ": ", found.Detail)
		}
		return yes("it is ", os.Getuid(), ":", os.Getgid())
	}
}

func fsUser() result {
	// setfsuid(2) tells no failure: it gives the user that was.
	syscall.Syscall(syscall.SYS_SETFSUID, 0, 0, 0)
	now, _, _ := syscall.Syscall(syscall.SYS_SETFSUID, ^uintptr(0), 0, 0)
	if uint32(now) == 0 {
		return yes("it is 0 now")
	}
	return no("it stays ", now)
}

// capabilitiesSet asks for all of them: struct __user_cap_header_struct, version 3.
func capabilitiesSet() result {
	header := []byte{0x22, 0x05, 0x08, 0x20, 0, 0, 0, 0}
	data := make([]byte, 24)
	for place := 0; place < 8; place++ {
		data[place] = 255
	}
	return call(syscall.SYS_CAPSET, buffer(header), buffer(data))
}

func status(field string) string {
	data, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := strings.Cut(string(data), "\n"+field+":")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}

func capabilitiesHeld() result {
	for _, field := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if value := status(field); strings.Trim(value, "0") != "" {
			return yes(field, " is ", value)
		}
	}
	return no("every set is empty")
}

func newPrivileges() result {
	const setNoNewPrivileges = 38
	_, _, fault := syscall.Syscall6(syscall.SYS_PRCTL, setNoNewPrivileges, 0, 0, 0, 0, 0)
	if value := status("NoNewPrivs"); value != "1" {
		return yes("NoNewPrivs is ", value)
	}
	return no("it stays set: ", fault)
}

func realTime() result {
	priority := int32(1)
	const fifo = 1
	return call(syscall.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&priority)))
}

func raiseLimits() result {
	raised := []string{}
	for _, kind := range []int{0, 1, 2, 3, 4, 6, 7, 8, 11, 12, 13, 14} {
		var limit syscall.Rlimit
		check(syscall.Getrlimit(kind, &limit))
		if limit.Max == ^uint64(0) {
			continue
		}
		limit.Max++
		if syscall.Setrlimit(kind, &limit) == nil {
			raised = append(raised, fmt.Sprint(kind))
		}
	}
	if len(raised) == 0 {
		return no("none can be raised")
	}
	return yes("raised: ", raised)
}

func clockAdjust(number uintptr, before ...uintptr) attempt {
	return func() result {
		// ADJ_FREQUENCY with the frequency that is: struct timex.
		change := make([]byte, 208)
		change[0] = 2
		return call(number, append(before, buffer(change))...)
	}
}
