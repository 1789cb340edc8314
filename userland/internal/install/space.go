package install

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
)

// noSpace is what C libraries and Go say for ENOSPC.
const noSpace = "no space left on device"

// A fullDetector looks for the words for ENOSPC in what is written to it: the
// compiler and the linker are other processes, whose error numbers do not get
// here.
type fullDetector struct {
	found bool
	tail  []byte // end of what was written, which the words may have begun in
}

func (d *fullDetector) see(words []byte) {
	text := append(d.tail, words...)
	d.found = d.found || bytes.Contains(text, []byte(noSpace))
	d.tail = append([]byte(nil), text[max(0, len(text)-len(noSpace)):]...)
}

// explain adds to an error that comes from a full file system which one it is,
// and what can be done.
func (in *Installer) explain(err error) error {
	var failed *compileError
	full := errors.As(err, &failed) && failed.diskFull
	if !full && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return fmt.Errorf("%w\n"+
		"There is no space left to compile it: %s, %s.\n"+
		"Delete what you do not need there; where rm is not compiled yet, the shell empties a file with > FILE.\n"+
		"Every command in %s may go, it is compiled anew when it is used; so may the build cache, %s",
		err, free(in.Layout.Temporary()), free(in.Layout.Commands()),
		in.Layout.Commands(), in.Layout.Path("/tmp/cache/go-build"))
}

// free says in words how much of a file system is free.
func free(path string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return fmt.Sprintf("%s cannot be asked (%v)", path, err)
	}
	mebibytes := func(blocks uint64) float64 { return float64(blocks) * float64(s.Bsize) / (1 << 20) }
	return fmt.Sprintf("%s has %.1f of %.1f MiB free", path, mebibytes(s.Bavail), mebibytes(s.Blocks))
}
