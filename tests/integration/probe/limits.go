package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const mebibyte = 1 << 20

// take takes so many bytes of one kind, or files, in pieces, until it is refused; then it says how
// many it got and holds them for some seconds.
func take(arguments []string) {
	kinds := map[string]func(int) (int, error){
		"mapping":     takeMappings,
		"sysv":        takeSysV,
		"posix":       takePosix,
		"memfd":       takeMemfd,
		"unix":        takeUnix,
		"udp":         takeUDP,
		"tcp":         takeTCP,
		"pipes":       takePipes,
		"netlink":     takeNetlink,
		"page tables": takePageTables,
		"unnamed":     takeUnnamed,
		"deep":        takeDeep,
		"files":       takeFiles,
		"holes":       takeHoles,
	}
	// The runtime's own descriptors, before there are no more to be had.
	time.Sleep(time.Millisecond)
	taken, err := kinds[arguments[0]](number(arguments[1]))
	if len(arguments) > 2 {
		time.Sleep(time.Duration(number(arguments[2])) * time.Second)
	}
	say(map[string]any{"taken": taken, "error": words(err)})
}

func touch(memory []byte) {
	for place := 0; place < len(memory); place += 4096 {
		memory[place] = 1
	}
}

// takeMappings takes memory that a child would share.
func takeMappings(wanted int) (int, error) {
	total := 0
	for ; total < wanted; total += 8 * mebibyte {
		flags := syscall.MAP_SHARED | syscall.MAP_ANON
		memory, err := syscall.Mmap(-1, 0, 8*mebibyte, syscall.PROT_READ|syscall.PROT_WRITE, flags)
		if err != nil {
			return total, err
		}
		touch(memory)
	}
	return total, nil
}

func takeSysV(wanted int) (int, error) {
	total := 0
	for ; total < wanted; total += 8 * mebibyte {
		id, _, errno := syscall.Syscall(syscall.SYS_SHMGET, 0, 8*mebibyte, 0o1600)
		if errno != 0 {
			return total, errno
		}
		address, _, errno := syscall.Syscall(syscall.SYS_SHMAT, id, 0, 0)
		if errno != 0 {
			return total, errno
		}
		touch(unsafe.Slice((*byte)(unsafe.Add(nil, address)), 8*mebibyte))
	}
	return total, nil
}

func takePosix(wanted int) (int, error) {
	return fillFile("/dev/shm/probe", wanted)
}

func takeMemfd(wanted int) (int, error) {
	calls := map[string]uintptr{"amd64": 319, "arm64": 279, "riscv64": 279}
	name := []byte("probe\x00")
	descriptor, _, errno := syscall.Syscall(calls[runtime.GOARCH], uintptr(unsafe.Pointer(&name[0])), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return fillOpen(os.NewFile(descriptor, "memfd"), wanted)
}

func fillFile(path string, wanted int) (int, error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	return fillOpen(file, wanted)
}

func fillOpen(file *os.File, wanted int) (int, error) {
	piece := make([]byte, mebibyte)
	total := 0
	for total < wanted {
		count, err := file.Write(piece)
		total += count
		if err != nil {
			return total, err
		}
	}
	keep = file
	return total, nil
}

// fillBuffers makes pairs and writes to each until its buffer is full.
func fillBuffers(wanted int, pair func() (int, error)) (int, error) {
	piece := make([]byte, 32<<10)
	total := 0
	for total < wanted {
		descriptor, err := pair()
		if err != nil {
			return total, err
		}
		for {
			count, err := syscall.Write(descriptor, piece)
			if err != nil {
				break
			}
			total += count
		}
	}
	return total, nil
}

func takeUnix(wanted int) (int, error) {
	return fillBuffers(wanted, func() (int, error) {
		ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
		return ends[0], err
	})
}

func takePipes(wanted int) (int, error) {
	return fillBuffers(wanted, func() (int, error) {
		var ends [2]int
		err := syscall.Pipe2(ends[:], syscall.O_NONBLOCK)
		if err == nil {
			syscall.Syscall(syscall.SYS_FCNTL, uintptr(ends[1]), 1031, mebibyte)
		}
		return ends[1], err
	})
}

var here = &syscall.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}

// localAddress is where a socket can be reached from this machine.
func localAddress(descriptor int) (syscall.Sockaddr, error) {
	address, err := syscall.Getsockname(descriptor)
	if err != nil {
		return nil, err
	}
	return &syscall.SockaddrInet4{Port: address.(*syscall.SockaddrInet4).Port, Addr: here.Addr}, nil
}

func takeUDP(wanted int) (int, error) {
	return fillBuffers(wanted, func() (int, error) {
		receiving, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		if err != nil {
			return 0, err
		}
		// Sending gives it an address, as bind does, which an action may not use.
		if err := syscall.Sendto(receiving, []byte{0}, 0, here); err != nil {
			return 0, err
		}
		address, err := localAddress(receiving)
		if err != nil {
			return 0, err
		}
		sending, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		if err != nil {
			return 0, err
		}
		if err := syscall.Connect(sending, address); err != nil {
			return 0, err
		}
		// What does not fit is dropped without an error: so much, and no more.
		piece := make([]byte, 32<<10)
		for count := 0; count < 8; count++ {
			if _, err := syscall.Write(sending, piece); err != nil {
				return 0, err
			}
		}
		syscall.Close(sending)
		return sending, nil
	})
}

func takeTCP(wanted int) (int, error) {
	listening, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.Listen(listening, 64); err != nil {
		return 0, err
	}
	address, err := localAddress(listening)
	if err != nil {
		return 0, err
	}
	return fillBuffers(wanted, func() (int, error) {
		sending, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			return 0, err
		}
		if err := syscall.Connect(sending, address); err != nil {
			return 0, err
		}
		if _, _, err := syscall.Accept(listening); err != nil {
			return 0, err
		}
		return sending, syscall.SetNonblock(sending, true)
	})
}

// takeNetlink sends messages from each socket to itself.
func takeNetlink(wanted int) (int, error) {
	const userSocket = 2
	piece := make([]byte, 16<<10)
	total := 0
	for total < wanted {
		descriptor, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_NONBLOCK, userSocket)
		if err != nil {
			return total, err
		}
		// Whatever comes of it, sending gives the socket a port.
		syscall.Sendto(descriptor, piece[:16], 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK})
		own, err := syscall.Getsockname(descriptor)
		if err != nil {
			return total, err
		}
		before := total
		for {
			if err := syscall.Sendto(descriptor, piece, 0, own); err != nil {
				if total == before {
					return total, err
				}
				break
			}
			total += len(piece)
		}
	}
	return total, nil
}

// takePageTables reads one page in each piece of 2 MiB: no memory but that of the table.
func takePageTables(wanted int) (int, error) {
	size := wanted / 4096 * 2 * mebibyte
	flags := syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_NORESERVE
	memory, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ, flags)
	if err != nil {
		return 0, err
	}
	seen := byte(0)
	for place := 0; place < size; place += 2 * mebibyte {
		seen += memory[place]
	}
	return wanted + int(seen), nil
}

// takeUnnamed writes to files that are removed while they are open.
func takeUnnamed(wanted int) (int, error) {
	total := 0
	held := []*os.File{}
	for total < wanted {
		path := fmt.Sprintf("unnamed-%d", total)
		file, err := os.Create(path)
		if err != nil {
			return total, err
		}
		held = append(held, file)
		if err := os.Remove(path); err != nil {
			return total, err
		}
		count, err := fillOpen(file, 16*mebibyte)
		total += count
		if err != nil {
			return total, err
		}
	}
	keep = held
	return total, nil
}

// keep is never looked at: what it refers to stays open.
var keep any

// takeDeep writes to files below a path that is longer than any that the kernel takes at once.
func takeDeep(wanted int) (int, error) {
	name := strings.Repeat("d", 250)
	for depth := 0; depth < 30; depth++ {
		if err := os.Mkdir(name, 0o755); err != nil {
			return 0, err
		}
		if err := os.Chdir(name); err != nil {
			return 0, err
		}
	}
	total := 0
	for total < wanted {
		count, err := fillFile(fmt.Sprint(total), 16*mebibyte)
		total += count
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func takeFiles(wanted int) (int, error) {
	for count := 0; count < wanted; count++ {
		descriptor, err := syscall.Open(fmt.Sprint("empty-", count), syscall.O_CREAT|syscall.O_WRONLY, 0o644)
		if err != nil {
			return count, err
		}
		syscall.Close(descriptor)
	}
	return wanted, nil
}

// takeHoles makes files in "out" that are 64 MiB of nothing each.
func takeHoles(wanted int) (int, error) {
	if err := os.MkdirAll("out", 0o755); err != nil {
		return 0, err
	}
	total := 0
	for ; total < wanted; total += 64 * mebibyte {
		path := fmt.Sprint("out/", total)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return total, err
		}
		if err := os.Truncate(path, 64*mebibyte); err != nil {
			return total, err
		}
	}
	return total, nil
}
