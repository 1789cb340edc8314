package main

import (
	"fmt"
	"syscall"
)

// Socket families by number: linux/socket.h.
var families = map[string]int{
	"alg": 38, "vsock": 40, "packet": 17, "xdp": 44, "bluetooth": 31, "can": 29, "tipc": 30,
	"key": 15, "rds": 21, "pppox": 24, "ib": 27, "qipcrtr": 42, "smc": 43, "nfc": 39, "mctp": 45,
	"kcm": 41, "rxrpc": 33, "x25": 9,
}

var familyAttempts = func() map[string]attempt {
	all := map[string]attempt{
		"net-raw":            func() result { return open(syscall.AF_INET, syscall.SOCK_RAW, 1) },
		"net-raw6":           func() result { return open(syscall.AF_INET6, syscall.SOCK_RAW, 58) },
		"net-sctp":           func() result { return open(syscall.AF_INET, syscall.SOCK_STREAM, 132) },
		"net-other-families": otherFamilies,
		"net-socketpair":     func() result { return pairOf(40) },
	}
	for name, number := range families {
		all["net-family-"+name] = func(number int) attempt {
			return func() result { return openAny(number) }
		}(number)
	}
	return all
}()

func open(family, kind, protocol int) result {
	socket, err := syscall.Socket(family, kind, protocol)
	if err == nil {
		syscall.Close(socket)
	}
	return tried(err)
}

// openAny opens a socket of a family with whatever type it wants.
func openAny(family int) result {
	var found result
	for kind := 1; kind <= 5; kind++ {
		for protocol := 0; protocol < 8; protocol++ {
			if found = open(family, kind, protocol); found.Outcome == possible {
				return yes("type ", kind, ", protocol ", protocol)
			}
		}
	}
	return found
}

func pairOf(family int) result {
	_, err := syscall.Socketpair(family, syscall.SOCK_STREAM, 0)
	return tried(err)
}

// otherFamilies opens sockets of every family that has no attempt of its own.
func otherFamilies() result {
	known := map[int]bool{0: true, 1: true, 2: true, 10: true, 16: true}
	for _, number := range families {
		known[number] = true
	}
	opened := []string{}
	for number := 0; number < 64; number++ {
		if !known[number] && openAny(number).Outcome == possible {
			opened = append(opened, fmt.Sprint(number))
		}
	}
	if len(opened) == 0 {
		return no("none opened")
	}
	return yes(opened)
}
