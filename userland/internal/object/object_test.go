package object

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func idOf(content string) ID { return sha256.Sum256([]byte(content)) }

func newWriter(t *testing.T) (*Writer, string) {
	t.Helper()
	dir := t.TempDir()
	w, err := NewWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	return w, dir
}

// files lists the regular files below dir, relative to it.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestPath(t *testing.T) {
	got := Path("/seed", idOf(""))
	want := "/seed/e3/b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if got != want {
		t.Errorf("Path = %s, want %s", got, want)
	}
}

func TestPutThenVerify(t *testing.T) {
	for _, content := range []string{"", "x", strings.Repeat("long ", 100_000)} {
		w, dir := newWriter(t)
		path, err := w.Put(idOf(content), int64(len(content)), strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if path != Path(dir, idOf(content)) {
			t.Errorf("Put gave the path %s", path)
		}
		if err := Verify(path, idOf(content), int64(len(content))); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if got := files(t, dir); len(got) != 1 {
			t.Errorf("files after Close: %q", got)
		}
	}
}

func TestModesDoNotDependOnUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	w, _ := newWriter(t)
	path, err := w.Put(idOf("x"), 1, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]fs.FileMode{path: 0o644, filepath.Dir(path): 0o755 | fs.ModeDir} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", p, info.Mode(), want)
		}
	}
}

func TestVerifySeesDamage(t *testing.T) {
	const content = "archive"
	damage := map[string]func(path string) error{
		"missing":   os.Remove,
		"short":     func(p string) error { return os.Truncate(p, 3) },
		"long":      func(p string) error { return os.WriteFile(p, []byte(content+"!"), 0o644) },
		"flipped":   func(p string) error { return os.WriteFile(p, []byte("brchive"), 0o644) },
		"directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			w, _ := newWriter(t)
			path, err := w.Put(idOf(content), int64(len(content)), strings.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			err = Verify(path, idOf(content), int64(len(content)))
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("Verify = %v, want ErrDamaged", err)
			}
			if errors.Is(err, fs.ErrNotExist) != (name == "missing") {
				t.Errorf("Verify = %v", err)
			}
		})
	}
}

// failingReader is a disk or a pipe that breaks in the middle.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestPutRefusesAndLeavesNothing(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		size int64
		body io.Reader
		want string
	}{
		{"short", 10, strings.NewReader("content"), "announced with 10 bytes, got 7"},
		{"long", 3, strings.NewReader("content"), "announced with 3 bytes, got 3 and more"},
		{"other content", 7, strings.NewReader("CONTENT"), "the body's SHA-256 is"},
		{"read error", 7, io.MultiReader(strings.NewReader("con"), failingReader{broken}), "broken"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, dir := newWriter(t)
			_, err := w.Put(idOf("content"), test.size, test.body)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Put = %v, want %q", err, test.want)
			}
			if got := files(t, dir); len(got) != 0 {
				t.Errorf("left behind: %q", got)
			}
		})
	}
}

func TestPutReadsNoMoreThanAnnounced(t *testing.T) {
	w, _ := newWriter(t)
	body := strings.NewReader("content and a flood")
	if _, err := w.Put(idOf("content"), 7, body); err == nil {
		t.Fatal("Put took a body that is too long")
	}
	if read := 19 - body.Len(); read != 8 {
		t.Errorf("Put read %d bytes, want 8", read)
	}
}

func TestPutReplacesDamagedObject(t *testing.T) {
	w, dir := newWriter(t)
	path := Path(dir, idOf("content"))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Put(idOf("content"), 7, strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	if err := Verify(path, idOf("content"), 7); err != nil {
		t.Error(err)
	}
}

func TestStageIsSeenAfterCommitOnly(t *testing.T) {
	w, dir := newWriter(t)
	id := idOf("content")
	staged, err := w.Stage(id, 7, strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(staged, id, 7); err != nil {
		t.Error(err)
	}
	if err := Verify(Path(dir, id), id, 7); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before Commit: %v", err)
	}
	if err := w.Commit(id); err != nil {
		t.Fatal(err)
	}
	if err := Verify(Path(dir, id), id, 7); err != nil {
		t.Error(err)
	}
}

func TestManyWritersOfOneObject(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("content ", 10_000)
	var group sync.WaitGroup
	for range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			w, err := NewWriter(dir)
			if err == nil {
				_, err = w.Put(idOf(content), int64(len(content)), strings.NewReader(content))
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	if err := Verify(Path(dir, idOf(content)), idOf(content), int64(len(content))); err != nil {
		t.Error(err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("files: %q", got)
	}
}

func TestNewWriterSweepsOnlyAfterTheDead(t *testing.T) {
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dead := scratchPrefix + strconv.Itoa(child.Process.Pid) + "-1"
	alive := scratchPrefix + strconv.Itoa(os.Getpid()) + "-2"
	other := ".unfinished-business"
	for _, name := range []string{dead, alive, other} {
		if err := os.MkdirAll(filepath.Join(dir, name, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewWriter(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{dead: false, alive: true, other: true} {
		_, err := os.Stat(filepath.Join(dir, name))
		if (err == nil) != want {
			t.Errorf("%s: exists = %v, want %v", name, err == nil, want)
		}
	}
}
