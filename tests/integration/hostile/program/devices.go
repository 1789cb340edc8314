package main

import (
	"os"
	"strings"
	"syscall"
)

var deviceAttempts = map[string]attempt{
	"device-memory":       opening("/dev/mem", os.O_RDWR),
	"device-port":         opening("/dev/port", os.O_RDWR),
	"device-kernel-log":   opening("/dev/kmsg", os.O_RDWR),
	"device-disk":         disks,
	"device-loop":         loopDevice,
	"device-mapper":       opening("/dev/mapper/control", os.O_RDWR),
	"device-fuse":         opening("/dev/fuse", os.O_RDWR),
	"device-kvm":          opening("/dev/kvm", os.O_RDWR),
	"device-vsock":        opening("/dev/vsock", os.O_RDONLY),
	"device-tunnel":       opening("/dev/net/tun", os.O_RDWR),
	"device-fault":        opening("/dev/userfaultfd", os.O_RDWR),
	"device-clock":        opening("/dev/rtc0", os.O_RDONLY),
	"device-watchdog":     opening("/dev/watchdog", os.O_WRONLY),
	"device-input":        opening("/dev/uinput", os.O_WRONLY),
	"device-graphics":     opening("/dev/dri/card0", os.O_RDWR),
	"device-random-seed":  randomSeed,
	"device-others":       otherDevices,
	"device-zero-replace": func() result { return tried(os.Rename("/dev/zero", "/dev/null")) },
}

func disks() result {
	tries := []func() result{}
	for _, name := range []string{"vda", "sda", "nvme0n1", "xvda", "dm-0", "md0", "loop0", "ram0", "zram0"} {
		tries = append(tries, opening("/dev/"+name, os.O_RDONLY))
	}
	return first(tries...)
}

func loopDevice() result {
	file, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return no(err)
	}
	const getFree = 0x4C82
	return call(syscall.SYS_IOCTL, file.Fd(), getFree)
}

// randomSeed adds entropy that it vouches for; writing to the device without credit is harmless.
func randomSeed() result {
	file, err := os.OpenFile("/dev/random", os.O_WRONLY, 0)
	if err != nil {
		return no(err)
	}
	const addToCount = 0x40045201
	return call(syscall.SYS_IOCTL, file.Fd(), addToCount, buffer([]byte{8, 0, 0, 0, 0, 0, 0, 0}))
}

// otherDevices lists what lies in /dev beside the devices that keep and give nothing.
func otherDevices() result {
	usual := "null zero full random urandom tty ptmx console fd stdin stdout stderr pts shm mqueue core"
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return no(err)
	}
	for _, entry := range entries {
		if !strings.Contains(" "+usual+" ", " "+entry.Name()+" ") {
			return yes(entry.Name())
		}
	}
	return no("only those that keep and give nothing")
}
