package pid1

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"sourcery/userland/internal/mountinfo"
	"sourcery/userland/internal/treecopy"
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
	if info, err := os.Stat(target); err != nil || !info.IsDir() || mountinfo.Has(target) {
		i.debug("%s stays as it is", target)
		return
	}
	err := treecopy.Copy(writable, target, etcLimit)
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
