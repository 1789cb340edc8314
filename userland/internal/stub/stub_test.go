package stub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct{ argument, path, name, pkg string }{
		{"#!/src/github.com/u-root/u-root/cmds/core/ls", "/linux_amd64/bin/ls", "ls", "/src/github.com/u-root/u-root/cmds/core/ls"},
		{"#!/src/m", "ls", "ls", "/src/m"},
		{"#!/src/m/cmd/x", "../bin/[", "[", "/src/m/cmd/x"},
		{"#!/src/m/cmd/a b", "./a b", "a b", "/src/m/cmd/a b"},
	}
	for _, test := range tests {
		c, err := Parse(test.argument, test.path)
		if err != nil || c.Name != test.name || c.Package != test.pkg {
			t.Errorf("Parse(%q, %q) = %+v, %v", test.argument, test.path, c, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ argument, path, want string }{
		{"", "/b/ls", "is not #!/src/<package directory>"},
		{"/src/m", "/b/ls", "is not #!/src/<package directory>"},
		{"/linux_amd64/bin/ls", "-l", "is not #!/src/<package directory>"}, // a stub without a second part
		{"#!", "/b/ls", "not an absolute path"},
		{"#!src/m", "/b/ls", "not an absolute path"},
		{"#! /src/m", "/b/ls", "not an absolute path"},
		{"#!/src/../etc", "/b/ls", "not an absolute path in its shortest form"},
		{"#!/src/m/", "/b/ls", "not an absolute path in its shortest form"},
		{"#!/src//m", "/b/ls", "not an absolute path in its shortest form"},
		{"#!/src", "/b/ls", "not below /src"},
		{"#!/srcs/m", "/b/ls", "not below /src"},
		{"#!/etc", "/b/ls", "not below /src"},
		{"#!/src/m\x00", "/b/ls", "NUL"},
		{"#!/src/m", "", "no file name"},
		{"#!/src/m", "/", "no file name"},
		{"#!/src/m", "/b/..", "no file name"},
	}
	for _, test := range tests {
		c, err := Parse(test.argument, test.path)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Parse(%q, %q) = %+v, %v; want %q", test.argument, test.path, c, err, test.want)
		}
	}
}

func TestImportPath(t *testing.T) {
	c := Command{Name: "ls", Package: "/src/example.com/src/ls"}
	if got := c.ImportPath(); got != "example.com/src/ls" {
		t.Errorf("ImportPath = %s", got)
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ls")
	tests := []struct{ content, pkg, want string }{
		{"#!/linux_amd64/bin/installcommand #!/src/m/ls\n", "/src/m/ls", ""},
		{"#!/linux_amd64/bin/installcommand #!/src/m/ls", "/src/m/ls", ""},
		{"#!/linux_amd64/bin/installcommand #!/src/m/ls\r\n", "/src/m/ls\r", ""},
		{"#!/bin/sh\n", "", "is not a stub"},
		{"\x7fELF", "", "is not a stub"},
		{"", "", "is not a stub"},
		{"#!/linux_amd64/bin/installcommand\n", "", "bad stub"},
		{"#!/linux_amd64/bin/installcommand /src/m\n", "", "bad stub"},
	}
	for _, test := range tests {
		if err := os.WriteFile(file, []byte(test.content), 0o755); err != nil {
			t.Fatal(err)
		}
		c, err := Read(file)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Read of %q: %v, want %q", test.content, err, test.want)
			}
			continue
		}
		if err != nil || c.Package != test.pkg || c.Name != "ls" {
			t.Errorf("Read of %q = %+v, %v", test.content, c, err)
		}
	}
	if _, err := Read(file + "x"); !os.IsNotExist(err) {
		t.Errorf("Read of no file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("#!/src/m/ls", "/bin/ls")
	f.Fuzz(func(t *testing.T, argument, path string) {
		c, err := Parse(argument, path)
		if err != nil {
			return
		}
		if strings.Contains(c.Package, "..") && !strings.HasPrefix(filepath.Clean(c.Package), "/src/") {
			t.Errorf("package %q leaves /src", c.Package)
		}
		if strings.Contains(c.Name, "/") || c.Name == "" {
			t.Errorf("name %q", c.Name)
		}
	})
}
