package kernelargs

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]Options{
		"": {},
		"BOOT_IMAGE=/boot/vmlinuz console=ttyS0 quiet\n": {},
		"sourcery.debug":                                               {Debug: true},
		"sourcery.debug=1 sourcery.debug=0":                            {},
		"sourcery.shell=elvish,gosh":                                   {Shells: []string{"elvish", "gosh"}},
		`sourcery.run="ls -l /" ro`:                                    {Run: []string{"ls", "-l", "/"}},
		`"sourcery.run=ls -l /" ro`:                                    {Run: []string{"ls", "-l", "/"}},
		`sourcery.run="gosh -c 'ls | wc -l'"`:                          {Run: []string{"gosh", "-c", "ls | wc -l"}},
		"sourcery.run=ls":                                              {Run: []string{"ls"}},
		"console=tty0\tsourcery.hostname=box sourcery.shell=a":         {Hostname: "box", Shells: []string{"a"}},
		"sourcery.volume=1a2b-3C4D sourcery.missing=reboot":            {Volume: "1A2B-3C4D", Missing: "reboot"},
		`x="sourcery.debug " y.sourcery.debug --  sourcery.shell=gosh`: {Shells: []string{"gosh"}},
	} {
		got, mistakes := Parse(line)
		if !reflect.DeepEqual(got, want) || len(mistakes) != 0 {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", line, got, mistakes, want)
		}
	}
}

func TestMistakesAreNamedAndTheRestIsRead(t *testing.T) {
	for argument, want := range map[string]string{
		"sourcery.shel=gosh":        "sourcery.shel: is unknown; there are shell, run",
		"sourcery.shell=":           "sourcery.shell: names no shell",
		"sourcery.shell=,":          "sourcery.shell: names no shell",
		"sourcery.run":              "sourcery.run: names no command",
		`sourcery.run="ls 'a"`:      "sourcery.run: quotation without an end",
		"sourcery.debug=yes":        `sourcery.debug: "yes" is neither 0 nor 1`,
		"sourcery.volume":           `sourcery.volume: "" is not the ID of a FAT volume`,
		"sourcery.volume=1a2b3c4d":  `"1a2b3c4d" is not the ID`,
		"sourcery.volume=1a2b-3c4":  `"1a2b-3c4" is not the ID`,
		"sourcery.volume=1a2b-3c4g": `"1a2b-3c4g" is not the ID`,
		"sourcery.missing=halt":     `sourcery.missing: "halt" is neither shell nor reboot`,
		"sourcery.hostname=":        "cannot be a host name",
		`sourcery.hostname="a/"`:    "cannot be a host name",
	} {
		o, mistakes := Parse(argument + " sourcery.debug")
		if len(mistakes) != 1 || !strings.Contains(mistakes[0].Error(), want) {
			t.Errorf("%s: %v, want %q", argument, mistakes, want)
		}
		if !o.Debug {
			t.Errorf("%s: the option after it was lost", argument)
		}
	}
}

// Whoever waits for the command's status has to get one.
func TestRunThatCannotBeReadIsStillRun(t *testing.T) {
	if o, _ := Parse(`sourcery.run="ls 'a"`); len(o.Run) != 1 {
		t.Errorf("Run = %q", o.Run)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`sourcery.run="a 'b'" "sourcery.shell=x"`)
	f.Fuzz(func(t *testing.T, line string) { Parse(line) })
}
