// Compileonly stands between the go command and its tools (go build -toolexec)
// where commands are to be compiled and nobody wants the programs: it runs every
// tool unchanged, but for the linker, in whose place it leaves an empty file.
//
// The go command asks each tool for its version through the same way, and that
// answer is all that a compilation's cache key says of it; so what is compiled
// under compileonly is found again by a go command without it. Build-time only:
// it does not go on the stick.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compileonly:", err)
		os.Exit(1)
	}
}

// run takes the tool's path and its arguments.
func run(command []string) error {
	if len(command) == 0 {
		return fmt.Errorf("usage: go build -toolexec compileonly ...")
	}
	if output, linking := linked(command); linking {
		return os.WriteFile(output, nil, 0o755)
	}
	return fmt.Errorf("%s: %w", command[0], syscall.Exec(command[0], command, os.Environ()))
}

// linked says whether a command links, and what file it is to make.
func linked(command []string) (output string, linking bool) {
	if filepath.Base(command[0]) != "link" {
		return "", false
	}
	at := slices.Index(command, "-o")
	if at < 0 || at+1 == len(command) {
		return "", false // such as -V=full, the question for the version
	}
	return command[at+1], true
}
