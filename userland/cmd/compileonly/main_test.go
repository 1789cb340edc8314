package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestLinked(t *testing.T) {
	for _, test := range []struct {
		command []string
		output  string
		linking bool
	}{
		{[]string{"/go/pkg/tool/linux_amd64/link", "-o", "a.out", "x.a"}, "a.out", true},
		{[]string{"/go/pkg/tool/linux_amd64/link", "-V=full"}, "", false},
		{[]string{"/go/pkg/tool/linux_amd64/link", "-o"}, "", false},
		{[]string{"/go/pkg/tool/linux_amd64/compile", "-o", "x.a", "x.go"}, "", false},
	} {
		output, linking := linked(test.command)
		if output != test.output || linking != test.linking {
			t.Errorf("linked(%q) = %q, %v; want %q, %v", test.command, output, linking, test.output, test.linking)
		}
	}
}

// A real go command compiles a program, links nothing, and still reports what
// does not compile.
func TestGoBuild(t *testing.T) {
	folder := t.TempDir()
	tool := filepath.Join(folder, "compileonly")
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, arguments ...string) ([]byte, error) {
		command := exec.Command(name, arguments...)
		command.Dir = folder
		command.Env = append(os.Environ(), "GO111MODULE=on", "GOFLAGS=", "GOWORK=off")
		return command.CombinedOutput()
	}
	if out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write("go.mod", "module example.org/x\n\ngo 1.24\n")
	write("main.go", "package main\n\nfunc main() { println(\"x\") }\n")
	if out, err := run("go", "build", "-toolexec", tool, "-o", "program", "."); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(filepath.Join(folder, "program"))
	if err != nil || info.Size() != 0 {
		t.Errorf("the program was linked: %v, %v", info, err)
	}
	write("main.go", "package main\n\nfunc main() { nothing() }\n")
	if out, err := run("go", "build", "-toolexec", tool, "-o", "/dev/null", "."); err == nil {
		t.Errorf("a program that does not compile was accepted\n%s", out)
	}
}
