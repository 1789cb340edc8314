package main

import (
	"os"
	"syscall"
	"unsafe"
)

// Numbers and flags of Linux that package syscall lacks: include/uapi/linux.
const (
	capChown, capDacOverride, capDacReadSearch, capFowner = 0, 1, 2, 3
	capKill, capSetgid, capSetuid                         = 5, 6, 7
	capSysPtrace, capSysAdmin                             = 19, 21

	prCapAmbient, prCapAmbientClearAll = 47, 4
	prSetDumpable                      = 4
	keyctlJoinSessionKeyring           = 1
	signals                            = 64
	signalSet                          = 8
	askPersonality                     = 0xFFFFFFFF

	rlimitNproc, rlimitNice, rlimitRtprio = 6, 13, 14

	tmpfsMagic = 0x01021994
	readOnly   = 1 // ST_RDONLY
)

func call(number uintptr, arguments ...uintptr) (uintptr, error) {
	var all [6]uintptr
	copy(all[:], arguments)
	result, _, errno := syscall.RawSyscall6(number, all[0], all[1], all[2], all[3], all[4], all[5])
	if errno != 0 {
		return result, errno
	}
	return result, nil
}

// joinSessionKeyring starts a session keyring that is new and empty: whoever runs the worker may
// keep secrets in theirs, and no namespace covers it.
func joinSessionKeyring() error {
	_, err := call(syscall.SYS_KEYCTL, keyctlJoinSessionKeyring, 0)
	if err == syscall.ENOSYS || err == syscall.EPERM {
		return nil // No keyrings, or none that what is started could use.
	}
	return err
}

// addPersonality sets flags of this thread's execution domain: personality(2).
func addPersonality(flags uintptr) error {
	before, err := call(syscall.SYS_PERSONALITY, askPersonality)
	if err == nil {
		_, err = call(syscall.SYS_PERSONALITY, before|flags)
	}
	return err
}

// resetSignals gives every signal its usual effect and lets all of them through: what is ignored or
// held back stays so over an execve.
func resetSignals() {
	var usual [32]byte
	for number := uintptr(1); number <= signals; number++ {
		// Those that cannot be changed refuse it.
		call(syscall.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&usual)), 0, signalSet)
	}
	var none [8]byte
	const setMask = 2
	call(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&none)), 0, signalSet)
}

// affinity gives the CPUs that this thread may run on.
func affinity() []int {
	var mask [128]uint64
	size, err := call(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	found := []int{}
	for number := 0; err == nil && number < int(size)*8; number++ {
		if mask[number/64]&(1<<(number%64)) != 0 {
			found = append(found, number)
		}
	}
	return found
}

func setAffinity(numbers []int) error {
	var mask [128]uint64
	for _, number := range numbers {
		mask[number/64] |= 1 << (number % 64)
	}
	_, err := call(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	return err
}

// capabilities gives a set of /proc/self/status, such as CapEff, as bits.
func capabilities(status map[string]string, name string) uint64 {
	var bits uint64
	for _, letter := range status[name] {
		bits <<= 4
		switch {
		case letter >= '0' && letter <= '9':
			bits |= uint64(letter - '0')
		case letter >= 'a' && letter <= 'f':
			bits |= uint64(letter-'a') + 10
		}
	}
	return bits
}

// attestedPair gives two ends of a socket: of what is written to the second, the first gets told by
// the kernel who wrote it.
func attestedPair() (int, *os.File, error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, os.NewSyscallError("socketpair", err)
	}
	err = syscall.SetsockoptInt(ends[0], syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
	return ends[0], os.NewFile(uintptr(ends[1]), "findings"), os.NewSyscallError("setsockopt", err)
}

// hear takes one message, and who sent it in this process's terms; nothing where the other end is
// gone.
func hear(socket int) ([]byte, *syscall.Ucred, error) {
	data, about := make([]byte, 1<<17), make([]byte, 1024)
	for {
		count, more, _, _, err := syscall.Recvmsg(socket, data, about, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || count == 0 {
			return nil, nil, os.NewSyscallError("recvmsg", err)
		}
		messages, err := syscall.ParseSocketControlMessage(about[:more])
		if err != nil {
			return nil, nil, err
		}
		for _, message := range messages {
			if sender, err := syscall.ParseUnixCredentials(&message); err == nil {
				return data[:count], sender, nil
			}
		}
		return data[:count], nil, nil
	}
}
