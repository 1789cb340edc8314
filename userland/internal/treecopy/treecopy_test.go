package treecopy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// source makes a directory with a file of 5 bytes, one of 3 below it, and a link.
func source(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := errors.Join(
		os.Mkdir(filepath.Join(dir, "sub"), 0o500),
		os.WriteFile(filepath.Join(dir, "five"), []byte("12345"), 0o400),
		os.Chmod(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "sub", "three"), []byte("123"), 0o755),
		os.Symlink("five", filepath.Join(dir, "link")),
		os.Chtimes(filepath.Join(dir, "sub", "three"), time.Unix(2, 0), time.Unix(2, 0)),
		os.Chtimes(filepath.Join(dir, "sub"), time.Unix(4, 0), time.Unix(4, 0)),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCopy(t *testing.T) {
	to := filepath.Join(t.TempDir(), "a", "b")
	if err := Copy(to, source(t), 8); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		content string
		mode    fs.FileMode
		time    int64
	}{"five": {"12345", 0o644, -1}, "sub/three": {"123", 0o644, 2}, "sub": {"", 0o755 | fs.ModeDir, 4}} {
		info, err := os.Stat(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want.mode {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		if want.time >= 0 && info.ModTime().Unix() != want.time {
			t.Errorf("%s has time %v", name, info.ModTime())
		}
		if data, _ := os.ReadFile(filepath.Join(to, name)); string(data) != want.content {
			t.Errorf("%s contains %q", name, data)
		}
	}
	if _, err := os.Lstat(filepath.Join(to, "link")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was copied: %v", err)
	}
}

func TestCopyIntoExisting(t *testing.T) {
	to := t.TempDir()
	for range 2 {
		if err := Copy(to, source(t), 8); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLimit(t *testing.T) {
	for limit, want := range map[int64]error{8: nil, 7: ErrTooLarge, 0: ErrTooLarge} {
		if err := Copy(filepath.Join(t.TempDir(), "to"), source(t), limit); !errors.Is(err, want) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestNoSource(t *testing.T) {
	if err := Copy(filepath.Join(t.TempDir(), "to"), filepath.Join(t.TempDir(), "none"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Copy = %v", err)
	}
}

func TestCopyEndsWithTheContext(t *testing.T) {
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	to := filepath.Join(t.TempDir(), "to")
	if err := CopyContext(ctx, to, source(t), 8); !errors.Is(err, because) {
		t.Errorf("CopyContext = %v", err)
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) != 0 {
		t.Errorf("copied: %v, %v", entries, err)
	}
}
