// Package object keeps files under the SHA-256 of their content.
//
// An object with the digest 0123...ef lies at <dir>/01/23...ef: two hexadecimal
// digits for the directory, the remaining 62 for the file. The digest is what
// the go command calls an output ID. Which action an object is the output of is
// not known here; see packages seed and buildcache.
package object

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// An ID is the SHA-256 of an object's content.
type ID [sha256.Size]byte

// String gives the ID as 64 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Path gives the file that holds the object id in dir, whether or not it exists.
func Path(dir string, id ID) string {
	name := id.String()
	return filepath.Join(dir, name[:2], name[2:])
}

// ErrDamaged is wrapped by every error that says that an object is absent or
// not what its ID promises, so that it has to be made again.
var ErrDamaged = errors.New("object damaged")

// buffers keeps the memory of a process independent of the size of objects:
// one buffer for each object that is being read or written right now.
var buffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// Verify reads the object's file and reports whether it holds size bytes whose
// SHA-256 is id. The error wraps ErrDamaged, and fs.ErrNotExist where there is
// no such file.
func Verify(path string, id ID, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is %s, not a regular file", ErrDamaged, path, fs.FormatFileInfo(info))
	}
	if info.Size() != size {
		return fmt.Errorf("%w: %s has %d bytes, not %d", ErrDamaged, path, info.Size(), size)
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	h := sha256.New()
	// The anonymous struct hides (*os.File).WriteTo, which would make
	// CopyBuffer allocate a buffer of its own.
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, *buf); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if got := ID(h.Sum(nil)); got != id {
		return fmt.Errorf("%w: %s has SHA-256 %s", ErrDamaged, path, got)
	}
	return nil
}
