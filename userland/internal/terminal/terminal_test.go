package terminal

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// open gives the keyboard's end of a pseudoterminal.
func open(t *testing.T) int {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	var unlock int32
	if err := ioctl(int(master.Fd()), syscall.TIOCSPTLCK, unsafe.Pointer(&unlock)); err != nil {
		t.Fatal(err)
	}
	return int(master.Fd())
}

func TestIs(t *testing.T) {
	if !Is(open(t)) {
		t.Error("a terminal is none")
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if Is(int(file.Fd())) || Is(-1) {
		t.Error("/dev/null, or nothing, is a terminal")
	}
}

func TestSize(t *testing.T) {
	fd := open(t)
	for _, want := range []Size{{0, 0}, {24, 80}} {
		if err := SetSize(fd, want); err != nil {
			t.Fatal(err)
		}
		if got, err := GetSize(fd); err != nil || got != want {
			t.Errorf("GetSize = %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestState(t *testing.T) {
	fd := open(t)
	before, err := GetState(fd)
	if err != nil {
		t.Fatal(err)
	}
	raw := before
	raw.termios.Lflag &^= syscall.ECHO | syscall.ICANON
	if err := SetState(fd, raw); err != nil {
		t.Fatal(err)
	}
	if got, _ := GetState(fd); got != raw || got == before {
		t.Errorf("GetState = %+v, want %+v", got, raw)
	}
	if err := SetState(fd, before); err != nil {
		t.Fatal(err)
	}
	if got, _ := GetState(fd); got != before {
		t.Errorf("GetState = %+v, want %+v", got, before)
	}
}

func TestResume(t *testing.T) {
	master := open(t)
	var number uint32
	if err := ioctl(master, syscall.TIOCGPTN, unsafe.Pointer(&number)); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Open(fmt.Sprint("/dev/pts/", number), syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Skip(err)
	}
	defer syscall.Close(fd)
	if _, err := syscall.Write(master, []byte{'S' & 0x1f}); err != nil {
		t.Fatal(err)
	}
	// The kernel passes on what is typed in a thread of its own.
	for err = nil; err == nil; time.Sleep(time.Millisecond) {
		_, err = syscall.Write(fd, []byte("x"))
	}
	if err != syscall.EAGAIN {
		t.Fatalf("Ctrl-S: %v", err)
	}
	if err := Resume(fd); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Write(fd, []byte("x")); err != nil {
		t.Errorf("after Resume: %v", err)
	}
	if Resume(-1) == nil {
		t.Error("nothing was resumed")
	}
}
