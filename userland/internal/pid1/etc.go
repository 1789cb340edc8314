package pid1

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// etcFiles are what programs look for in /etc, where the stick does not bring it.
var etcFiles = map[string]string{
	"passwd":   "root:x:0:0:root:/tmp/home:/bin/gosh\n",
	"group":    "root:x:0:\n",
	"hosts":    "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
	"hostname": "sourcery\n",
}

// etcLimit bounds what is copied into memory, in bytes.
const etcLimit = 8 << 20

// makeEtc makes /etc writable, since a DHCP client wants to write resolv.conf:
// the stick's own files are copied to /run/etc, and that is put over it.
func (i *Init) makeEtc() {
	const target, writable = "/etc", "/run/etc"
	if info, err := os.Stat(target); err != nil || !info.IsDir() || isMounted(target) {
		i.debug("%s stays as it is", target)
		return
	}
	err := copyTree(writable, target, etcLimit)
	for name, content := range etcFiles {
		if err == nil {
			err = writeIfMissing(filepath.Join(writable, name), content)
		}
	}
	if err == nil {
		err = syscall.Mount(writable, target, "", syscall.MS_BIND, "")
	}
	if err != nil {
		i.say("making %s writable: %v", target, err)
	}
}

func writeIfMissing(file, content string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, content)
	return errors.Join(err, f.Close())
}

// copyTree copies regular files and directories, no more than limit bytes. Modes
// are made anew: VFAT has none.
func copyTree(to, from string, limit int64) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		switch {
		case d.IsDir():
			return ignoring(os.Mkdir(target, 0o755), fs.ErrExist)
		case !d.Type().IsRegular():
			return nil
		}
		n, err := copyFile(target, path, limit)
		limit -= n
		return err
	})
}

func copyFile(to, from string, limit int64) (int64, error) {
	source, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(target, io.LimitReader(source, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("%s: too much to copy into memory", from)
	}
	return n, errors.Join(err, target.Close())
}
