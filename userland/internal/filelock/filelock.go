// Package filelock keeps processes that would get into each other's way apart,
// with flock(2).
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Take waits until nobody else has the lock, and keeps others out until release
// is called or the process dies. The file at path is made where it is missing,
// and stays: to remove it would let two processes lock two files of one name.
// Where ctx ends first, the error is its cause.
func Take(ctx context.Context, path string) (release func(), err error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	locked := make(chan error, 1)
	fd := int(f.Fd())
	go func() { locked <- flock(fd, syscall.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		return func() { f.Close() }, nil
	case <-ctx.Done():
		// The goroutine waits on, and the file with it, until the process ends,
		// which is soon.
		return nil, context.Cause(ctx)
	}
}

// Try is Take for who does not want to wait: where somebody else has the lock, the
// error is EWOULDBLOCK.
func Try(path string) (release func(), err error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	if err := flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

func open(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
}

func flock(fd, how int) error {
	for {
		if err := syscall.Flock(fd, how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
