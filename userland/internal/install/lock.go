package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock waits until no other installer works on the command, and keeps others
// out until release is called or the process dies. The file of the lock stays:
// to remove it would let two installers lock two files of one name.
func (in *Installer) lock(ctx context.Context, name string) (release func(), err error) {
	if err := os.MkdirAll(in.Layout.Locks(), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(in.Layout.Locks(), name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	locked := make(chan error, 1)
	fd := int(f.Fd())
	go func() { locked <- flock(fd) }()
	select {
	case err := <-locked:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		return func() { f.Close() }, nil
	case <-ctx.Done():
		// The goroutine waits on, and the file with it, until the process ends,
		// which is soon.
		return nil, context.Cause(ctx)
	}
}

func flock(fd int) error {
	for {
		if err := syscall.Flock(fd, syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
