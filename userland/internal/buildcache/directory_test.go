package buildcache

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// A remedy that needs no command: rm, too, is compiled before it first runs.
func TestFullDiskIsExplained(t *testing.T) {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		err := explain(&fs.PathError{Op: "write", Path: "/cache/x", Err: full}, "/cache")
		for _, want := range []string{"the file system of /cache is full", "rm -r /cache;", "the shell empties a file with > FILE"} {
			if !strings.Contains(err.Error(), want) || !errors.Is(err, full) {
				t.Errorf("%v: %q says nothing of %q", full, err, want)
			}
		}
	}
	if err := explain(syscall.EACCES, "/cache"); err != syscall.EACCES {
		t.Errorf("another error became %v", err)
	}
}
