package pid1

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sourcery/userland/internal/device"
)

// A powerCommand ends the machine in good order.
type powerCommand struct {
	usage string // its arguments
	// parse gives the signal to PID 1, or says in words why there is none.
	parse func(arguments []string) (s syscall.Signal, refusal string)
}

// powerCommands are scripts whose interpreter is the init program. They need no
// compiler and next to no memory. What a source brings under these names may well
// be a bare reboot(2), which loses what is not written yet.
var powerCommands = map[string]powerCommand{
	"halt":     {"", only(syscall.SIGUSR1)},
	"poweroff": {"", only(syscall.SIGUSR2)},
	"reboot":   {"", only(syscall.SIGTERM)},
	"shutdown": {" [-h|-P|-r|halt|poweroff|reboot] [now]", parseShutdown},
}

// makePowerCommands puts them into the directory of commands, where they keep
// stubs of these names from being compiled, and into one of their own that comes
// next in PATH, since everything in the first may be deleted.
func (i *Init) makePowerCommands() {
	own := i.layout.PowerCommands()
	i.check("commands to end the machine", os.MkdirAll(own, 0o755))
	for _, dir := range []string{i.layout.Commands(), own} {
		for name := range powerCommands {
			script := "#!" + i.self + " -" + name + "\n"
			i.check(name, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
		}
	}
}

// withPowerCommands gives an environment whose PATH leads to them, right behind the
// directory of commands, and first where it does not name that.
func withPowerCommands(e device.Environment, l device.Layout) device.Environment {
	dirs := filepath.SplitList(e.Get("PATH"))
	at := slices.Index(dirs, l.Commands()) + 1 // 0 where it is not there
	dirs = slices.Insert(dirs, at, l.PowerCommands())
	return e.With("PATH", strings.Join(dirs, ":"))
}

// PowerSignal gives the signal to PID 1 that the init program, started by one of
// these scripts, is to send; found, where it was. Its arguments are the name of the
// command, as an option, which the script gives, the path of the script, which the
// kernel gives, and those of the user, which the error is about.
func PowerSignal(arguments []string) (s syscall.Signal, found bool, err error) {
	if len(arguments) == 0 {
		return 0, false, nil
	}
	name, isOption := strings.CutPrefix(arguments[0], "-")
	command, found := powerCommands[name]
	if !isOption || !found {
		return 0, false, nil
	}
	s, refusal := command.parse(arguments[min(2, len(arguments)):])
	if refusal != "" {
		return 0, true, fmt.Errorf("%s: %s\n"+
			"Usage: %s%s    stops all programs, writes what is to be written, then does it", name, refusal, name, command.usage)
	}
	return s, true, nil
}

// only parses no arguments.
func only(s syscall.Signal) func([]string) (syscall.Signal, string) {
	return func(arguments []string) (syscall.Signal, string) {
		if len(arguments) > 0 {
			return 0, fmt.Sprintf("%q: it takes no arguments", arguments[0])
		}
		return s, ""
	}
}

// parseShutdown takes the arguments of u-root's shutdown (cmds/core/shutdown), for
// which to halt is to power off, and of others those that say the same.
func parseShutdown(arguments []string) (s syscall.Signal, refusal string) {
	s = syscall.SIGUSR2
	rest := arguments
	if len(rest) > 0 {
		switch rest[0] {
		case "-h", "-P", "halt", "poweroff":
			rest = rest[1:]
		case "-r", "reboot":
			s, rest = syscall.SIGTERM, rest[1:]
		case "-s", "suspend":
			return 0, "this system cannot be suspended"
		}
	}
	switch {
	case len(rest) == 0 || len(rest) == 1 && (rest[0] == "now" || rest[0] == "+0"):
		return s, ""
	case strings.HasPrefix(rest[0], "-"):
		return 0, fmt.Sprintf("%q is not understood", rest[0])
	case len(rest) > 1:
		return 0, fmt.Sprintf("%q: there is nobody to be told", rest[1])
	}
	return 0, fmt.Sprintf("%q: it is done now; for later there is sleep, as in: sleep 600 && shutdown", rest[0])
}
