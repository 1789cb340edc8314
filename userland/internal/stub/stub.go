// Package stub reads the one-line files that stand for commands which are not
// compiled yet. VFAT has no symbolic links, so a stub is a script whose
// interpreter is installcommand and whose only argument names the source:
//
//	#!/linux_<arch>/bin/installcommand #!/src/<package directory>
//
// Linux starts the interpreter with the rest of the line as one argument, then
// the path of the stub, then the user's arguments (fs/binfmt_script.c; it cuts
// a line after 255 bytes).
package stub

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	marker  = "#!"
	sources = "/src"
)

// A Command is a name and the source of the program that it stands for.
type Command struct {
	Name    string // file name, like "ls"
	Package string // absolute, clean path of the package directory, below /src
}

// ImportPath gives the import path of the command's package. Modules lie below
// /src under their module path, so it is the rest of the directory's path.
func (c Command) ImportPath() string { return strings.TrimPrefix(c.Package, sources+"/") }

// Parse takes the two arguments that Linux gives to a stub's interpreter: the
// rest of the stub's line, and the path that the stub was found under.
func Parse(argument, stubPath string) (Command, error) {
	pkg, err := parsePackage(argument)
	if err != nil {
		return Command{}, fmt.Errorf("%s: bad stub: %w", stubPath, err)
	}
	name := path.Base(stubPath)
	if name == "." || name == ".." || name == "/" {
		return Command{}, fmt.Errorf("%q: bad stub: its path has no file name", stubPath)
	}
	return Command{Name: name, Package: pkg}, nil
}

// IsArgument reports whether an argument is meant to be the rest of a stub's line.
func IsArgument(argument string) bool { return strings.HasPrefix(argument, marker) }

func parsePackage(argument string) (string, error) {
	pkg, found := strings.CutPrefix(argument, marker)
	switch {
	case !found:
		return "", fmt.Errorf("%q is not %s%s/<package directory>", argument, marker, sources)
	case strings.ContainsRune(pkg, 0):
		return "", fmt.Errorf("%q contains a NUL", pkg)
	case !path.IsAbs(pkg) || path.Clean(pkg) != pkg:
		return "", fmt.Errorf("%q is not an absolute path in its shortest form", pkg)
	case !strings.HasPrefix(pkg, sources+"/"):
		return "", fmt.Errorf("%q is not below %s", pkg, sources)
	}
	return pkg, nil
}

// maxLine is the length of the longest line that Linux does not cut, in bytes
// and with its newline (BINPRM_BUF_SIZE in include/uapi/linux/binfmts.h).
const maxLine = 256

// Read gives the command of the stub at file, without running it.
func Read(file string) (Command, error) {
	f, err := os.Open(file)
	if err != nil {
		return Command{}, err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return Command{}, err
	}
	interpreter, argument, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
	if !strings.HasPrefix(interpreter, marker) || path.Base(interpreter) != "installcommand" {
		return Command{}, fmt.Errorf("%s is not a stub: it does not begin with %s/linux_<arch>/bin/installcommand", file, marker)
	}
	return Parse(argument, filepath.Clean(file))
}
