package pid1

import (
	"os"
	"syscall"
	"unsafe"
)

// ifreqFlags is struct ifreq of include/uapi/linux/if.h, as SIOCGIFFLAGS and
// SIOCSIFFLAGS use it.
type ifreqFlags struct {
	name  [syscall.IFNAMSIZ]byte
	flags int16
	_     [22]byte
}

// raiseInterface brings a network interface up. The kernel gives the loopback
// interface its address by itself.
func raiseInterface(name string) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	var request ifreqFlags
	copy(request.name[:len(request.name)-1], name)
	if err := interfaceFlags(fd, syscall.SIOCGIFFLAGS, &request); err != nil {
		return err
	}
	request.flags |= syscall.IFF_UP
	return interfaceFlags(fd, syscall.SIOCSIFFLAGS, &request)
}

func interfaceFlags(fd int, operation uintptr, request *ifreqFlags) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), operation, uintptr(unsafe.Pointer(request)))
	if errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
