// Package kernelargs reads what the person who boots the device, or its boot
// loader, has asked for on the kernel's command line.
package kernelargs

import (
	"fmt"
	"slices"
	"strings"

	"sourcery/userland/internal/words"
)

// Options are what init and the initramfs can be told. On the command line each begins with
// "sourcery.".
type Options struct {
	Shells   []string // sourcery.shell=NAME[,NAME...]: the first that is there runs on the consoles
	Run      []string // sourcery.run="COMMAND ARGUMENT...": run this instead of a shell, then power off
	Debug    bool     // sourcery.debug: say what is being done
	Hostname string   // sourcery.hostname=NAME

	// What the initramfs is told.
	Volume  string // sourcery.volume=XXXX-XXXX: the ID of the stick's file system, in upper case
	Missing string // sourcery.missing=shell|reboot: what to do without the stick
}

// Values of Options.Missing.
const (
	MissingShell  = "shell"
	MissingReboot = "reboot"
)

const prefix = "sourcery."

// Parse reads a kernel command line, as /proc/cmdline has it. It gives the
// options that are right, and an error for each one that is not.
func Parse(line string) (Options, []error) {
	var o Options
	var mistakes []error
	for _, argument := range split(line) {
		name, value, hasValue := strings.Cut(argument, "=")
		name, found := strings.CutPrefix(name, prefix)
		if !found {
			continue
		}
		if err := o.set(name, value, hasValue); err != nil {
			mistakes = append(mistakes, fmt.Errorf("kernel command line: %s%s: %w", prefix, name, err))
		}
	}
	return o, mistakes
}

func (o *Options) set(name, value string, hasValue bool) error {
	switch name {
	case "shell":
		o.Shells = slices.DeleteFunc(strings.Split(value, ","), func(s string) bool { return s == "" })
		if len(o.Shells) == 0 {
			return fmt.Errorf("names no shell; want %sshell=NAME[,NAME...]", prefix)
		}
	case "run":
		command, err := words.Split(value)
		if err == nil && len(command) == 0 {
			err = fmt.Errorf(`names no command; want %srun="COMMAND ARGUMENT..."`, prefix)
		}
		o.Run = command
		if err != nil {
			// To start a shell instead would leave whoever waits for the command
			// waiting, so it is a command that cannot be found.
			o.Run = []string{value}
		}
		return err
	case "debug":
		if hasValue && value != "0" && value != "1" {
			return fmt.Errorf("%q is neither 0 nor 1", value)
		}
		o.Debug = value != "0"
	case "hostname":
		if value == "" || len(value) > 64 || strings.ContainsAny(value, " /") {
			return fmt.Errorf("%q cannot be a host name", value)
		}
		o.Hostname = value
	case "volume":
		high, low, _ := strings.Cut(value, "-")
		if !isHexadecimal(high) || !isHexadecimal(low) {
			return fmt.Errorf("%q is not the ID of a FAT volume, XXXX-XXXX in hexadecimal digits", value)
		}
		o.Volume = strings.ToUpper(value)
	case "missing":
		if value != MissingShell && value != MissingReboot {
			return fmt.Errorf("%q is neither %s nor %s", value, MissingShell, MissingReboot)
		}
		o.Missing = value
	default:
		return fmt.Errorf("is unknown; there are shell, run, debug, hostname, volume and missing")
	}
	return nil
}

// isHexadecimal reports whether s is half of a volume ID.
func isHexadecimal(s string) bool {
	return len(s) == 4 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// split gives the arguments of a kernel command line, as next_arg in the
// kernel's lib/cmdline.c sees them: blanks separate, except in double quotes;
// the quotes around an argument, or around its value, do not belong to it.
func split(line string) []string {
	var list []string
	inQuotes := false
	fields := strings.FieldsFunc(line, func(c rune) bool {
		if c == '"' {
			inQuotes = !inQuotes
		}
		return !inQuotes && strings.ContainsRune(" \t\r\n\v\f", c)
	})
	for _, f := range fields {
		if rest, found := strings.CutPrefix(f, `"`); found {
			f = strings.TrimSuffix(rest, `"`)
		} else if name, value, found := strings.Cut(f, `="`); found {
			f = name + "=" + strings.TrimSuffix(value, `"`)
		}
		list = append(list, f)
	}
	return list
}
