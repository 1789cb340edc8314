package object

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// scratchPrefix begins the name of a writer's folder for unfinished files; the
// process ID, a dash and a random number follow.
const scratchPrefix = ".unfinished-"

// A Writer adds files to a directory so that a reader sees each of them whole
// or not at all: a file is written in a folder that belongs to this process,
// and renamed. It is safe for use by several goroutines, and several processes
// may write to one directory.
type Writer struct {
	dir string

	mu      sync.Mutex
	scratch string // folder for unfinished files, "" until there is one
}

// NewWriter makes dir where it does not exist, and removes what writers that
// were killed have left there.
func NewWriter(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := sweep(dir); err != nil {
		return nil, err
	}
	return &Writer{dir: dir}, nil
}

// sweep removes the scratch folders of processes that no longer exist. Where a
// process ID is in use again, that only postpones the removal.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		rest, found := strings.CutPrefix(entry.Name(), scratchPrefix)
		digits, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(digits)
		if !found || err != nil || pid <= 0 || syscall.Kill(pid, 0) != syscall.ESRCH {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Close removes the scratch folder, and with it every unfinished file. A Put
// that is under way fails.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.scratch == "" {
		return nil
	}
	return os.RemoveAll(w.scratch)
}

// Put stores size bytes of body as the object id and gives its path. Where the
// body has another size or another SHA-256, or the disk is full, nothing is
// stored and nothing is left behind. No more than size+1 bytes are read.
func (w *Writer) Put(id ID, size int64, body io.Reader) (path string, err error) {
	path = Path(w.dir, id)
	return path, w.put(path, id, size, body)
}

// Stage is Put for an object that is not to be seen in its place before Commit.
// The path that it gives is good until Commit or Close.
func (w *Writer) Stage(id ID, size int64, body io.Reader) (path string, err error) {
	path, err = w.staged(id)
	if err != nil {
		return "", err
	}
	return path, w.put(path, id, size, body)
}

// Commit puts a staged object in its place.
func (w *Writer) Commit(id ID) error {
	from, err := w.staged(id)
	if err != nil {
		return err
	}
	return move(from, Path(w.dir, id))
}

// staged gives the name of a staged object, which cannot be that of an
// unfinished file, since those are decimal numbers of at most 10 digits.
func (w *Writer) staged(id ID) (string, error) {
	scratch, err := w.folder()
	return filepath.Join(scratch, id.String()), err
}

func (w *Writer) put(path string, id ID, size int64, body io.Reader) error {
	return w.replace(path, func(f io.Writer) error {
		h := sha256.New()
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		n, err := io.CopyBuffer(io.MultiWriter(f, h), io.LimitReader(body, size+1), *buf)
		if err != nil {
			return err
		}
		if n != size {
			return fmt.Errorf("object %s: announced with %d bytes, got %d%s", id, size, min(n, size), more(n > size))
		}
		if got := ID(h.Sum(nil)); got != id {
			return fmt.Errorf("object %s: the body's SHA-256 is %s", id, got)
		}
		return nil
	})
}

func more(tooLong bool) string {
	if tooLong {
		return " and more"
	}
	return ""
}

// WriteFile gives the file name, a path below the writer's directory, the
// content data.
func (w *Writer) WriteFile(name string, data []byte) error {
	return w.replace(filepath.Join(w.dir, name), func(f io.Writer) error {
		_, err := f.Write(data)
		return err
	})
}

// replace makes or replaces the file path by what fill writes. Modes are set
// explicitly, since the umask belongs to whoever started the build.
func (w *Writer) replace(path string, fill func(io.Writer) error) (err error) {
	scratch, err := w.folder()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(scratch, "")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	buffered := bufio.NewWriterSize(f, 64<<10)
	err = fill(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return move(f.Name(), path)
}

// move renames a file, into a folder that need not exist.
func move(from, to string) error {
	if err := makeFolder(filepath.Dir(to)); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// folder gives the scratch folder, which comes into being when it is first
// wanted, so that a process which only reads leaves no trace.
func (w *Writer) folder() (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.scratch == "" {
		scratch, err := os.MkdirTemp(w.dir, scratchPrefix+strconv.Itoa(os.Getpid())+"-")
		if err != nil {
			return "", err
		}
		w.scratch = scratch
	}
	return w.scratch, nil
}

func makeFolder(path string) error {
	err := os.Mkdir(path, 0o755)
	if os.IsExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}
