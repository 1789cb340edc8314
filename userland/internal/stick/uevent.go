package stick

import "syscall"

// ueventGroup is the kernel's own multicast group of NETLINK_KOBJECT_UEVENT
// (lib/kobject_uevent.c); group 2 is udev's.
const ueventGroup = 1

// watch sends to each channel, where nothing is waiting in it, when something has
// happened to a device. What it was is for the reader to see in /sys.
func watch(channels ...chan<- struct{}) error {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, syscall.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: ueventGroup}); err != nil {
		syscall.Close(fd)
		return err
	}
	go func() {
		message := make([]byte, 8<<10)
		for {
			// ENOBUFS says that messages were lost: then there was something, too.
			_, _, err := syscall.Recvfrom(fd, message, 0)
			if err != nil && err != syscall.ENOBUFS && err != syscall.EINTR {
				return
			}
			for _, c := range channels {
				poke(c)
			}
		}
	}()
	return nil
}
