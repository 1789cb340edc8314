package device

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPathsOfADevice(t *testing.T) {
	for _, l := range []Layout{{Arch: "arm64"}, {Root: "/test", Arch: "arm64"}} {
		for got, want := range map[string]string{
			l.Platform():  "/linux_arm64",
			l.Programs():  "/linux_arm64/bin",
			l.Commands():  "/bin",
			l.Temporary(): "/tmp",
			l.Path("/go"): "/go",
		} {
			if got != l.Root+want {
				t.Errorf("got %s, want %s", got, l.Root+want)
			}
		}
	}
}

func TestParseEnvironment(t *testing.T) {
	e, err := ParseEnvironment([]byte("# made by orchestrate\n\nA=1\nB_2=x y=z \"q\" \nEMPTY=\nLAST=no newline"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"A=1", `B_2=x y=z "q" `, "EMPTY=", "LAST=no newline"}
	if got := e.Pairs(); !slices.Equal(got, want) {
		t.Errorf("Pairs = %q, want %q", got, want)
	}
	if e.Get("B_2") != `x y=z "q" ` || e.Get("EMPTY") != "" || e.Get("NONE") != "" {
		t.Error("Get")
	}
}

func TestParseEnvironmentRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nword\n":       `line 2: "word" is not KEY=VALUE`,
		"=1\n":              `line 1: "" is not the name`,
		"2A=1\n":            `line 1: "2A" is not the name`,
		" A=1\n":            `line 1: " A" is not the name`,
		"A-B=1\n":           `line 1: "A-B" is not the name`,
		"A=1\r\n":           "line 1: the value of A contains",
		"A=1\x00\n":         "line 1: the value of A contains",
		"A=1\n#\n\nA=2\n":   "line 4: A is set on line 1 already",
		"export GOROOT=/\n": "is not the name",
	} {
		if _, err := ParseEnvironment([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestWith(t *testing.T) {
	e, err := ParseEnvironment([]byte("A=1\nB=2\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := e.With("A", "3").With("C", "4").Pairs(); !slices.Equal(got, []string{"B=2", "A=3", "C=4"}) {
		t.Errorf("With: %q", got)
	}
	if got := e.Pairs(); !slices.Equal(got, []string{"A=1", "B=2"}) {
		t.Errorf("With has changed the original: %q", got)
	}
}

func TestReadEnvironmentNamesTheFile(t *testing.T) {
	l := Layout{Root: t.TempDir(), Arch: "test"}
	file := filepath.Join(l.Platform(), "environment")
	if _, err := ReadEnvironment(l); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("no file: %v", err)
	}
	if err := os.Mkdir(l.Platform(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("word\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadEnvironment(l); err == nil || !strings.Contains(err.Error(), file+": line 1") {
		t.Errorf("bad file: %v", err)
	}
}
