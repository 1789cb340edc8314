package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// kept holds what raw system calls point to.
var kept [][]byte

func text(words string) uintptr {
	return buffer(append([]byte(words), 0))
}

func buffer(data []byte) uintptr {
	kept = append(kept, data)
	return uintptr(unsafe.Pointer(&data[0]))
}

func no(detail ...any) result  { return result{Outcome: refused, Detail: fmt.Sprint(detail...)} }
func yes(detail ...any) result { return result{Outcome: possible, Detail: fmt.Sprint(detail...)} }

// bad is for an attempt that could not be carried out as it was meant.
func bad(detail ...any) result { return result{Outcome: broken, Detail: fmt.Sprint(detail...)} }

// tried takes any error for a refusal.
func tried(err error) result {
	if err != nil {
		return no(err)
	}
	return yes()
}

// call makes a system call. One that complains about its arguments was let through.
func call(number uintptr, arguments ...uintptr) result {
	var six [6]uintptr
	copy(six[:], arguments)
	got, _, fault := syscall.Syscall6(number, six[0], six[1], six[2], six[3], six[4], six[5])
	switch fault {
	case 0:
		return yes("returned ", int(got))
	case syscall.EINVAL, syscall.EFAULT, syscall.EBADF, syscall.E2BIG:
		return yes("reached: ", fault)
	}
	return no(fault)
}

// calling is an attempt that is one system call.
func calling(number uintptr, arguments ...uintptr) attempt {
	return func() result { return call(number, arguments...) }
}

// opening is an attempt to open a file.
func opening(path string, flags int) attempt {
	return func() result {
		file, err := os.OpenFile(path, flags, 0o644)
		if err == nil {
			file.Close()
		}
		return tried(err)
	}
}

// reading is an attempt to learn what a file says.
func reading(path string) attempt {
	return func() result {
		file, err := os.Open(path)
		if err != nil {
			return no(err)
		}
		defer file.Close()
		piece := make([]byte, 256)
		count, err := file.Read(piece)
		if count == 0 {
			return no("it is empty: ", err)
		}
		first, _, _ := strings.Cut(string(piece[:count]), "\n")
		return yes(first)
	}
}

// writing is an attempt to write into a file that is there.
func writing(path string, words string) attempt {
	return func() result {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return no(err)
		}
		defer file.Close()
		_, err = file.WriteString(words)
		return tried(err)
	}
}

// first gives the first of several results that is not a refusal.
func first(tries ...func() result) result {
	words := []string{}
	for _, try := range tries {
		found := try()
		if found.Outcome != refused {
			return found
		}
		words = append(words, found.Detail)
	}
	return no(strings.Join(words, "; "))
}

func is(err error, fault syscall.Errno) bool { return errors.Is(err, fault) }

const (
	inputFile   = "/input/file"
	inputFolder = "/input"
	inputText   = "content of the input\n"
)

// unchanged tells whether the input still says what it said.
func unchanged(how string) result {
	data, err := os.ReadFile(inputFile)
	if err != nil {
		return bad(err)
	}
	if string(data) != inputText {
		return yes(how, ": it now says ", string(data))
	}
	return no(how, ": it is unchanged")
}

func address(data []byte) int64 { return int64(uintptr(unsafe.Pointer(&data[0]))) }

func pointer(words []uint64) uintptr {
	data := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
	return buffer(data)
}
