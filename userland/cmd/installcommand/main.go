// Installcommand is the interpreter of command stubs: it compiles the package
// that a stub names into /bin, and becomes the program, with the arguments, the
// environment and the files that it was started with. The next time, the shell
// finds the program itself.
//
// Linux starts it, when a stub is executed, as
//
//	installcommand '#!/src/<package directory>' <path of the stub> arguments...
//
// By hand it is started to change commands: -edit NAME makes the source of one
// writable, -rebuild NAME compiles it again.
//
// Exit status, where the program could not be started: 126 when it does not
// compile or cannot be put in place, 127 when there is no such source, 128+N
// when signal N came during compilation, 2 on bad usage. Of -edit: 1 when the
// source could not be made writable, 128+N when signal N came during that.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/edit"
	"sourcery/userland/internal/install"
	"sourcery/userland/internal/stub"
	"sourcery/userland/internal/terminal"
)

const usage = `Usage: installcommand -edit NAME       make the source of a command writable
       installcommand -edit /src/DIR   the same for any directory below /src
       installcommand -rebuild NAME    compile a command again

Otherwise it is started through the stubs of commands, by typing their names: it
compiles the command into /bin, and runs it.
`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(arguments []string) int {
	switch {
	case len(arguments) == 1 && (arguments[0] == "-h" || arguments[0] == "-help" || arguments[0] == "--help"):
		fmt.Print(usage)
		return 0
	case len(arguments) == 2 && arguments[0] == "-edit":
		return openSource(arguments[1])
	case len(arguments) == 2 && arguments[0] == "-rebuild":
		return rebuild(arguments[1])
	case len(arguments) == 0 || strings.HasPrefix(arguments[0], "-"):
		fmt.Fprint(os.Stderr, usage)
		return 2
	case len(arguments) == 1 || !stub.IsArgument(arguments[0]):
		// The stub's line has no second part, and what we got first is its path.
		return runStub("", arguments[0], nil)
	}
	return runStub(arguments[0], arguments[1], arguments[2:])
}

func say(err error) { fmt.Fprintf(os.Stderr, "installcommand: %v\n", err) }

// runStub only returns, with an exit status, where the program was not started.
func runStub(argument, stubPath string, arguments []string) int {
	command, err := stub.Parse(argument, stubPath)
	if err != nil {
		say(err)
		return install.StatusNotFound
	}
	ctx, stop := install.WithSignals(context.Background())
	program, err := installer().Install(ctx, command)
	stop()
	if err == nil {
		err = install.Interruption(ctx)
	}
	if err != nil {
		return fail(err)
	}
	// The kernel has replaced what the shell called the program by the path of
	// the stub, so its name is all that is left of it; from /bin, too, a program
	// is called by its name.
	argv := append([]string{command.Name}, arguments...)
	err = syscall.Exec(program, argv, os.Environ())
	say(&os.PathError{Op: "exec", Path: program, Err: err})
	return install.StatusCannotRun
}

// fail reports an installation that did not succeed, and gives its exit status.
func fail(err error) int {
	say(err)
	return install.Status(err)
}

// openSource makes a directory of source writable.
func openSource(name string) int {
	layout := device.Here()
	dir, err := edit.FindDirectory(layout, name)
	if err != nil {
		say(err)
		return 1
	}
	ctx, stop := install.WithSignals(context.Background())
	defer stop()
	opened, err := edit.Open(ctx, layout, dir)
	if err == nil {
		fmt.Print(canBeChanged(name, dir, opened))
		return 0
	}
	if interruption := install.Interruption(ctx); interruption != nil {
		say(fmt.Errorf("%s: not made writable, nothing of it is left: %w", dir, interruption))
		return install.Status(interruption)
	}
	say(err)
	return 1
}

// canBeChanged tells what to do with a directory, called name by the user, now
// that it is writable, or one above it is.
func canBeChanged(name, dir, opened string) string {
	if filepath.IsAbs(name) {
		name = "NAME" // a directory may be of many commands, or be a library of them
	}
	return fmt.Sprintf(`%s can be changed now. It is in memory: copy what you want to keep to a disk.
This compiles a command that you have changed:
  installcommand -rebuild %s
This gives the original back, then the command that was compiled from it:
  umount %s
  installcommand -rebuild %[2]s
`, dir, name, opened)
}

// rebuild compiles a command, whether or not it is in /bin already.
func rebuild(name string) int {
	command, err := edit.Find(device.Here(), name)
	if err != nil {
		say(err)
		return install.StatusNotFound
	}
	ctx, stop := install.WithSignals(context.Background())
	defer stop()
	if _, err := installer().Reinstall(ctx, command); err != nil {
		return fail(err)
	}
	return 0
}

func installer() *install.Installer {
	return &install.Installer{
		Layout:   device.Here(),
		Stderr:   os.Stderr,
		Terminal: terminal.Is(int(os.Stderr.Fd())),
	}
}
