package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unsafe"
)

// Ways to hold twice as much memory as the action may have. Each is an action of its own, which
// says what it holds when nobody has stopped it for a while.
var memoryAttempts = map[string]attempt{
	"memory-anonymous":   func() result { return mapped(syscall.MAP_PRIVATE | syscall.MAP_ANON) },
	"memory-shared":      func() result { return mapped(syscall.MAP_SHARED | syscall.MAP_ANON) },
	"memory-system-v":    systemV,
	"memory-file":        memoryFile,
	"memory-unmapped":    unmapped,
	"memory-tmp":         memoryTmp,
	"memory-tmp-names":   memoryTmpNames,
	"memory-sockets":     sockets,
	"memory-pipes":       pipes,
	"memory-page-tables": pageTables,
	"memory-processes":   manyProcesses,
	"memory-messages":    messages,
	"memory-semaphores":  semaphores,
}

const (
	memoryLimit = 128 * mebibyte
	wanted      = 2 * memoryLimit
	piece       = 16 * mebibyte
	holding     = 1500 * time.Millisecond
)

// hold waits for what comes of it, and says that nothing did.
func hold(total int) result {
	if total < memoryLimit*5/4 {
		return no("no more than ", total/mebibyte, " MiB was to be had")
	}
	time.Sleep(holding)
	return yes("held ", total/mebibyte, " MiB")
}

func touch(data []byte) {
	for place := 0; place < len(data); place += 4096 {
		data[place] = 1
	}
}

func mapped(flags int) result {
	for total := 0; total < wanted; total += piece {
		data, err := syscall.Mmap(-1, 0, piece, syscall.PROT_READ|syscall.PROT_WRITE, flags)
		if err != nil {
			return no(total/mebibyte, " MiB, then: ", err)
		}
		touch(data)
	}
	return hold(wanted)
}

func systemV() result {
	for total := 0; total < wanted; total += piece {
		segment, _, fault := syscall.Syscall(syscall.SYS_SHMGET, 0, piece, 0o1600)
		if fault != 0 {
			return no(total/mebibyte, " MiB, then: ", fault)
		}
		place, _, fault := syscall.Syscall(syscall.SYS_SHMAT, segment, 0, 0)
		if fault != 0 {
			return no(total/mebibyte, " MiB, then: ", fault)
		}
		touch(unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&place))), piece))
		// Not mapped any more, it belongs to no process, and stays.
		syscall.Syscall(syscall.SYS_SHMDT, place, 0, 0)
	}
	return hold(wanted)
}

func memoryFile() result {
	return writeMemory(1)
}

// unmapped is the same in many files, each of them without a name.
func unmapped() result {
	return writeMemory(16)
}

func writeMemory(files int) result {
	data := make([]byte, mebibyte)
	total := 0
	for number := 0; number < files; number++ {
		descriptor, _, fault := syscall.Syscall(sysMemfdCreate, text("hostile"), 0, 0)
		if fault != 0 {
			return no(fault)
		}
		for part := 0; part < wanted/files; part += len(data) {
			if _, err := syscall.Write(int(descriptor), data); err != nil {
				break
			}
			total += len(data)
		}
	}
	return hold(total)
}

// memoryTmp fills /tmp, whose own limit is higher here than that on memory.
func memoryTmp() result {
	total, err := 0, error(nil)
	for number := 0; err == nil && number < wanted/piece; number++ {
		var written int
		written, err = fillFile(fmt.Sprint("/tmp/fill-", number), piece)
		total += written
	}
	return hold(total)
}

// memoryTmpNames makes empty files: each takes a kibibyte of the kernel's memory.
func memoryTmpNames() result {
	for number := 0; number < wanted/1024; number++ {
		descriptor, err := syscall.Open(
			fmt.Sprint("/tmp/", number), syscall.O_CREAT|syscall.O_WRONLY, 0o600)
		if err != nil {
			return no(number, " names, then: ", err)
		}
		syscall.Close(descriptor)
	}
	return hold(wanted)
}

// sockets fills the buffers of pairs of sockets that nobody reads.
func sockets() result {
	data := make([]byte, 64*1024)
	total := 0
	for total < wanted {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			break
		}
		for _, end := range pair {
			syscall.SetsockoptInt(end, syscall.SOL_SOCKET, syscall.SO_SNDBUF, piece)
			for {
				written, err := syscall.Write(end, data)
				if err != nil {
					break
				}
				total += written
			}
		}
	}
	return hold(total)
}

func pipes() result {
	data := make([]byte, 64*1024)
	total := 0
	for total < wanted {
		ends := make([]int, 2)
		if syscall.Pipe2(ends, syscall.O_NONBLOCK) != nil {
			break
		}
		const setSize = 1031
		syscall.Syscall(syscall.SYS_FCNTL, uintptr(ends[1]), setSize, mebibyte)
		for {
			written, err := syscall.Write(ends[1], data)
			if err != nil {
				break
			}
			total += written
		}
	}
	return hold(total)
}

// pageTables reads one byte in every two mebibytes: all of it is the one page of zeros, and what
// leads there takes a page each.
func pageTables() result {
	const stride, region, noReserve, noHuge = 2 * mebibyte, 1 << 30, 0x4000, 15
	seen := byte(0)
	for tables := 0; tables < wanted/4096; tables += region / stride {
		data, err := syscall.Mmap(-1, 0, region, syscall.PROT_READ,
			syscall.MAP_PRIVATE|syscall.MAP_ANON|noReserve)
		if err != nil {
			return no(tables, " tables, then: ", err)
		}
		syscall.Madvise(data, noHuge)
		for place := 0; place < region; place += stride {
			seen |= data[place]
		}
	}
	return hold(wanted + int(seen))
}

// manyProcesses shares the memory out among processes, each of them within the limit.
func manyProcesses() result {
	order, attempt := os.Args[2], "memory-part"
	for number := 0; number < 8; number++ {
		child := exec.Command(os.Args[0], "one", order, attempt)
		if err := child.Start(); err != nil {
			return no(number, " processes, then: ", err)
		}
		defer child.Process.Kill()
	}
	time.Sleep(holding)
	if state, _ := os.ReadDir("/proc"); len(state) == 0 {
		return bad("there is no /proc")
	}
	return hold(wanted)
}

// messages leaves full queues that no process has open.
func messages() result {
	message := make([]byte, 8+8192)
	message[0] = 1
	total := 0
	for total < wanted {
		queue, _, fault := syscall.Syscall(syscall.SYS_MSGGET, 0, 0o1600, 0)
		if fault != 0 {
			break
		}
		for {
			const noWait = 0o4000
			_, _, fault = syscall.Syscall6(syscall.SYS_MSGSND, queue, buffer(message), 8192, noWait, 0, 0)
			kept = kept[:len(kept)-1]
			if fault != 0 {
				break
			}
			total += 8192
		}
		if fault != syscall.EAGAIN {
			break
		}
	}
	return hold(total)
}

// semaphores makes sets of as many as the kernel allows: 64 bytes each.
func semaphores() result {
	total := 0
	for total < wanted {
		if _, _, fault := syscall.Syscall(syscall.SYS_SEMGET, 0, 32000, 0o1600); fault != 0 {
			break
		}
		total += 32000 * 64
	}
	return hold(total)
}
