// Package treecopy copies a directory from the read-only stick into memory, where
// it can be changed.
package treecopy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrTooLarge says that a directory holds more than was to be copied.
var ErrTooLarge = errors.New("too large to be copied into memory")

// Copy copies the regular files and the directories in the directory from into
// the directory to, which it makes. It takes over the times of files and
// directories, which the go command looks at, but not their modes, which VFAT
// has not: all can be written. Of more than limit bytes it gives ErrTooLarge,
// and leaves behind what was copied.
func Copy(to, from string, limit int64) error {
	return CopyContext(context.Background(), to, from, limit)
}

// CopyContext is Copy until ctx ends: then the error is its cause, and what was
// copied is left behind.
func CopyContext(ctx context.Context, to, from string, limit int64) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copyDirectory(ctx, to, from, &limit)
}

func copyDirectory(ctx context.Context, to, from string, limit *int64) error {
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		switch {
		case entry.IsDir():
			err = copyDirectory(ctx, target, source, limit)
		case entry.Type().IsRegular():
			err = copyFile(target, source, limit)
		}
		if err != nil {
			return err
		}
	}
	return copyTime(to, from)
}

func copyFile(to, from string, limit *int64) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(target, io.LimitReader(source, *limit+1))
	*limit -= n
	if err == nil && *limit < 0 {
		err = fmt.Errorf("%s: %w", filepath.Dir(from), ErrTooLarge)
	}
	if err := errors.Join(err, target.Close()); err != nil {
		return err
	}
	return copyTime(to, from)
}

func copyTime(to, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}
