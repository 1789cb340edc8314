// Installcommand is the interpreter of command stubs: it compiles the package
// that a stub names into /bin, and becomes the program, with the arguments, the
// environment and the files that it was started with. The next time, the shell
// finds the program itself.
//
// Linux starts it, when a stub is executed, as
//
//	installcommand '#!/src/<package directory>' <path of the stub> arguments...
//
// Exit status, where the program could not be started: 126 when it does not
// compile or cannot be put in place, 127 when there is no such source, 128+N
// when signal N came during compilation, 2 on bad usage.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"sourcery/userland/internal/device"
	"sourcery/userland/internal/install"
	"sourcery/userland/internal/stub"
	"sourcery/userland/internal/terminal"
)

const usage = `Usage of installcommand: it is started through command stubs, by typing the name
of a command. It compiles the command into /bin and runs it.
`

func main() {
	if len(os.Args) < 3 || strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	os.Exit(runStub(os.Args[1], os.Args[2], os.Args[3:]))
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
// Who has sent a signal knows about it.
func fail(err error) int {
	status := install.Status(err)
	if status < install.StatusSignal {
		say(err)
	}
	return status
}

func installer() *install.Installer {
	return &install.Installer{
		Layout:   device.Here(),
		Stderr:   os.Stderr,
		Terminal: terminal.Is(int(os.Stderr.Fd())),
	}
}
