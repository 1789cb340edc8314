package edit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sourcery/userland/internal/device"
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
	if err := Open(l, "/src/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open = %v", err)
	}
	if _, err := os.Stat(l.Path("/tmp/edit/src/none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}
