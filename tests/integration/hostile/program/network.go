package main

import (
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// Addresses that are for documentation (RFC 5737, RFC 3849): outside of every machine.
var (
	loopback4 = [4]byte{127, 0, 0, 1}
	loopback6 = [16]byte{15: 1}
	outside4  = [4]byte{192, 0, 2, 1}
	outside6  = [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}
)

var networkAttempts = map[string]attempt{
	"net-machine-tcp":     func() result { return dial4(loopback4, order.Port) },
	"net-machine-tcp6":    func() result { return dial6(loopback6, order.Port) },
	"net-machine-udp":     func() result { return ask(loopback4, order.Port, order.Token) },
	"net-outside-tcp":     func() result { return dial4(outside4, 443) },
	"net-outside-tcp6":    func() result { return dial6(outside6, 443) },
	"net-outside-udp":     func() result { return ask(outside4, 53, "x") },
	"net-abstract-socket": func() result { return dialUnix("@" + order.Abstract) },
	"net-path-socket":     func() result { return dialUnix(order.Socket) },
	"net-docker-socket":   func() result { return dialUnix("/var/run/docker.sock") },
	"net-dns":             resolve,
	"net-ping":            ping,
	"net-interfaces":      interfaces,
	"net-add-interface":   addInterface,
	"net-interface-flags": interfaceFlags,
	"net-bind-to-device":  bindToDevice,
	"net-own-loopback":    ownLoopback,
	"net-low-port":        lowPort,
	"net-device-events":   deviceEvents,
	"net-other-netlink":   otherNetlink,
	"net-scm-rights":      passDescriptor,
}

// dial connects to 127.0.0.1 and the like, to an address outside, or to a Unix socket.
func dial(family int, to syscall.Sockaddr) result {
	socket, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err != nil {
		return no(err)
	}
	defer syscall.Close(socket)
	patience := &syscall.Timeval{Sec: 1}
	check(syscall.SetsockoptTimeval(socket, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, patience))
	return tried(syscall.Connect(socket, to))
}

func dial4(address [4]byte, port int) result {
	return dial(syscall.AF_INET, &syscall.SockaddrInet4{Addr: address, Port: port})
}

func dial6(address [16]byte, port int) result {
	return dial(syscall.AF_INET6, &syscall.SockaddrInet6{Addr: address, Port: port})
}

func dialUnix(name string) result {
	return dial(syscall.AF_UNIX, &syscall.SockaddrUnix{Name: name})
}

// ask sends a datagram; where nobody listens, the next call says so.
func ask(address [4]byte, port int, words string) result {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return no(err)
	}
	defer syscall.Close(socket)
	err = syscall.Connect(socket, &syscall.SockaddrInet4{Addr: address, Port: port})
	if err != nil {
		return no(err)
	}
	patience := &syscall.Timeval{Usec: 500_000}
	check(syscall.SetsockoptTimeval(socket, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, patience))
	if _, err = syscall.Write(socket, []byte(words)); err != nil {
		return no(err)
	}
	_, err = syscall.Read(socket, make([]byte, 1))
	return tried(err)
}

// resolve asks the usual name servers for example.org.
func resolve() result {
	query := "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" +
		"\x07example\x03org\x00\x00\x01\x00\x01"
	return first(
		func() result { return ask(loopback4, 53, query) },
		func() result { return ask([4]byte{127, 0, 0, 53}, 53, query) },
		func() result { return ask([4]byte{127, 0, 0, 11}, 53, query) },
		func() result { return ask([4]byte{1, 1, 1, 1}, 53, query) },
	)
}

func ping() result {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, syscall.IPPROTO_ICMP)
	if err != nil {
		return no(err)
	}
	echo := []byte{8, 0, 0, 0, 0, 1, 0, 1}
	return tried(syscall.Sendto(socket, echo, 0, &syscall.SockaddrInet4{Addr: outside4}))
}

func interfaces() result {
	data, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return no(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		name, _, isInterface := strings.Cut(strings.TrimSpace(line), ":")
		if isInterface && name != "lo" {
			return yes(name)
		}
	}
	return no("loopback only")
}

// addInterface asks the kernel over a netlink socket for a dummy interface.
func addInterface() result {
	socket, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	if err != nil {
		return no(err)
	}
	message := make([]byte, 32)
	header := (*syscall.NlMsghdr)(unsafe.Pointer(&message[0]))
	*header = syscall.NlMsghdr{
		Len:   32,
		Type:  syscall.RTM_NEWLINK,
		Flags: syscall.NLM_F_REQUEST | syscall.NLM_F_ACK | syscall.NLM_F_CREATE,
	}
	kernel := &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}
	if err = syscall.Sendto(socket, message, 0, kernel); err != nil {
		return no(err)
	}
	answer := make([]byte, 512)
	count, _, err := syscall.Recvfrom(socket, answer, 0)
	if err != nil || count < 20 {
		return bad(err)
	}
	if fault := *(*int32)(unsafe.Pointer(&answer[16])); fault != 0 {
		return no(syscall.Errno(-fault))
	}
	return yes()
}

func interfaceFlags() result {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return no(err)
	}
	request := make([]byte, 40)
	copy(request, "lo")
	return call(syscall.SYS_IOCTL, uintptr(socket), syscall.SIOCSIFFLAGS, buffer(request))
}

func bindToDevice() result {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return no(err)
	}
	const soMark = 36
	return tried(syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, soMark, 1))
}

// listen waits on a port of this action's own loopback interface; its number is told.
func listen(port int) (int, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	if err = syscall.Bind(socket, &syscall.SockaddrInet4{Addr: loopback4, Port: port}); err != nil {
		return 0, err
	}
	if err = syscall.Listen(socket, 1); err != nil {
		return 0, err
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		return 0, err
	}
	return bound.(*syscall.SockaddrInet4).Port, nil
}

func ownLoopback() result {
	port, err := listen(0)
	if err != nil {
		return no(err)
	}
	return dial4(loopback4, port)
}

func lowPort() result {
	_, err := listen(80)
	return tried(err)
}

// deviceEvents listens for what the kernel tells of the machine's devices.
func deviceEvents() result {
	socket, err := syscall.Socket(
		syscall.AF_NETLINK, syscall.SOCK_DGRAM, syscall.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return no(err)
	}
	group := &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: 1}
	if err = syscall.Bind(socket, group); err != nil {
		return no(err)
	}
	check(syscall.SetsockoptTimeval(
		socket, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 1}))
	event := make([]byte, 512)
	count, _, err := syscall.Recvfrom(socket, event, 0)
	if err != nil {
		return no("none was heard: ", err)
	}
	return yes(string(event[:count]))
}

// otherNetlink opens the netlink protocols that are for administrators.
func otherNetlink() result {
	found := []int{}
	for _, protocol := range []int{
		syscall.NETLINK_AUDIT, syscall.NETLINK_NETFILTER, syscall.NETLINK_XFRM,
		syscall.NETLINK_CONNECTOR, syscall.NETLINK_SELINUX, syscall.NETLINK_ISCSI,
	} {
		socket, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, protocol)
		if err == nil {
			syscall.Close(socket)
			found = append(found, protocol)
		}
	}
	if len(found) == 0 {
		return no("none opened")
	}
	return yes("opened, and see only this network namespace: ", found)
}

// passDescriptor sends a descriptor of an input to itself: it stays read-only.
func passDescriptor() result {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return no(err)
	}
	file, err := syscall.Open(inputFile, syscall.O_RDONLY, 0)
	check(err)
	check(syscall.Sendmsg(pair[0], []byte("x"), syscall.UnixRights(file), nil, 0))
	space := make([]byte, 64)
	_, count, _, _, err := syscall.Recvmsg(pair[1], make([]byte, 1), space, 0)
	check(err)
	messages, err := syscall.ParseSocketControlMessage(space[:count])
	check(err)
	passed, err := syscall.ParseUnixRights(&messages[0])
	check(err)
	_, err = syscall.Write(passed[0], []byte("x"))
	return tried(err)
}
