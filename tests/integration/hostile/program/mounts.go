package main

import (
	"os"
	"syscall"
)

var mountAttempts = map[string]attempt{
	"mount-tmpfs": func() result { return tried(syscall.Mount("none", "/tmp", "tmpfs", 0, "")) },
	"mount-proc":  func() result { return tried(syscall.Mount("proc", "/work", "proc", 0, "")) },
	"mount-bind": func() result {
		return tried(syscall.Mount("/work", inputFolder, "", syscall.MS_BIND, ""))
	},
	"mount-overlay": func() result {
		options := "lowerdir=/input,upperdir=/tmp,workdir=/tmp"
		return tried(syscall.Mount("none", "/work", "overlay", 0, options))
	},
	"mount-remount-root": func() result {
		return tried(syscall.Mount("none", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND, ""))
	},
	"mount-shared": func() result {
		return tried(syscall.Mount("none", "/", "", syscall.MS_SHARED|syscall.MS_REC, ""))
	},
	"mount-unmount-proc": func() result { return tried(syscall.Unmount("/proc", syscall.MNT_DETACH)) },
	"mount-unmount-tmp":  func() result { return tried(syscall.Unmount("/tmp", syscall.MNT_DETACH)) },
	"mount-pivot-root": func() result {
		os.MkdirAll("/tmp/new/old", 0o755)
		return tried(syscall.PivotRoot("/tmp/new", "/tmp/new/old"))
	},
	"mount-fsopen":     calling(sysFsopen, text("tmpfs"), 0),
	"mount-fspick":     calling(sysFspick, at(-100), text("/"), 0),
	"mount-open-tree":  calling(sysOpenTree, at(-100), text("/"), 1),
	"mount-tree-attr":  calling(sysOpenTreeAttr, at(-100), text("/"), 1, buffer(make([]byte, 32)), 32),
	"mount-move":       calling(sysMoveMount, at(-100), text("/input"), at(-100), text("/work"), 0),
	"mount-attributes": mountAttributes,
	"mount-statmount":  mountStat,
	"mount-listmount":  mountList,
	"mount-quota":      calling(syscall.SYS_QUOTACTL, 0x80000700, text("/dev/vda"), 0, 0),
	"mount-quota-fd":   quotaDescriptor,
	"mount-detach-cwd": func() result { return tried(syscall.Unmount("/work", syscall.MNT_DETACH)) },
}

// mountAttributes takes the read-only flag off the root: struct mount_attr.
func mountAttributes() result {
	attributes := make([]byte, 32)
	attributes[8] = 1
	return call(sysMountSetattr, at(-100), text("/"), 0, buffer(attributes), 32)
}

// request is a struct mnt_id_req for the root of all mounts.
func request() uintptr {
	data := make([]byte, 24)
	data[0] = 24
	for place := 8; place < 16; place++ {
		data[place] = 255
	}
	data[16] = 2
	return buffer(data)
}

func mountStat() result {
	return call(sysStatmount, request(), buffer(make([]byte, 512)), 512, 0)
}

func mountList() result {
	return call(sysListmount, request(), buffer(make([]byte, 512)), 64, 0)
}

func quotaDescriptor() result {
	folder, err := os.Open("/work")
	check(err)
	return call(sysQuotactlFd, folder.Fd(), 0x80000700, 0, buffer(make([]byte, 128)))
}
