package edit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/filelock"
)

func testLayout(t *testing.T) device.Layout {
	t.Helper()
	l := device.Layout{Root: t.TempDir(), Arch: "test"}
	err := errors.Join(
		os.MkdirAll(l.Programs(), 0o755),
		os.WriteFile(filepath.Join(l.Programs(), "ls"), []byte("#!/linux_test/bin/installcommand #!/src/m/cmds/ls\n"), 0o755),
		os.WriteFile(filepath.Join(l.Programs(), "go"), []byte("\x7fELF"), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFindDirectory(t *testing.T) {
	l := testLayout(t)
	for name, want := range map[string]string{
		"ls": "/src/m/cmds/ls", "/src/m": "/src/m", "/src/m/": "/src/m", "/src/a/../m": "/src/m",
	} {
		if got, err := FindDirectory(l, name); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"none": "there is no stub of this name", "go": "is not a stub", "": "is not the name of a command",
		"sub/ls": "is not the name of a command", "../ls": "is not the name of a command",
		"/src": "is not below /src", "/src/../etc": "/etc is not below /src", "/": "is not below /src",
	} {
		if got, err := FindDirectory(l, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestOpenLeavesNothingWhereThereIsNoSource(t *testing.T) {
	l := testLayout(t)
	if _, err := Open(t.Context(), l, "/src/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open = %v", err)
	}
	if err := os.MkdirAll(l.Path("/src"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.Path("/src/file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), l, "/src/file"); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Open = %v", err)
	}
	if _, err := os.Stat(l.Edits()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// source makes files below /src/m, each of which contains its own name.
func source(t *testing.T, l device.Layout, names ...string) {
	t.Helper()
	for _, name := range names {
		path := l.Path("/src/m/" + name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// copied makes a copy and checks that it has these files of source, each in a
// directory of its own.
func copied(t *testing.T, l device.Layout, dir string, names ...string) string {
	t.Helper()
	writable, err := makeCopy(t.Context(), l, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if data, err := os.ReadFile(filepath.Join(writable, name)); err != nil || filepath.Base(string(data)) != filepath.Base(name) {
			t.Errorf("the copy of %s has in %s %q (%v)", dir, name, data, err)
		}
	}
	return writable
}

func TestParentOfACopyIsNoCopy(t *testing.T) {
	l := testLayout(t)
	source(t, l, "a/one", "a/in/two", "b/three")
	inner := copied(t, l, "/src/m/a/in", "two")
	copied(t, l, "/src/m", "a/one", "a/in/two", "b/three")
	copied(t, l, "/src/m/a", "one", "in/two")

	// A copy that is there is taken, with what was changed in it.
	if err := os.WriteFile(filepath.Join(inner, "new"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	copied(t, l, "/src/m/a/in", "two", "new")
}

func TestHalfACopyIsNoCopy(t *testing.T) {
	l := testLayout(t)
	source(t, l, "a/one", "a/two")
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	if _, err := makeCopy(ctx, l, "/src/m/a"); !errors.Is(err, because) {
		t.Errorf("makeCopy = %v", err)
	}
	if left, err := os.ReadDir(l.Edits()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// What one leaves that was killed.
	half := filepath.Join(l.Edits(), "unfinished", "of another")
	if err := errors.Join(os.MkdirAll(filepath.Dir(half), 0o755), os.WriteFile(half, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	writable := copied(t, l, "/src/m/a", "one", "two")
	if files, err := os.ReadDir(writable); err != nil || len(files) != 2 {
		t.Errorf("the copy has %v (%v)", files, err)
	}
}

func TestOpenWaitsForTheOther(t *testing.T) {
	l := testLayout(t)
	source(t, l, "a/one")
	release, err := filelock.Take(t.Context(), filepath.Join(l.Edits(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	if _, err := Open(ctx, l, "/src/m/a"); !errors.Is(err, because) {
		t.Errorf("Open = %v", err)
	}
}
