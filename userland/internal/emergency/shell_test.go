package emergency

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// run gives the shell's status, output and errors without the prompts.
func run(t *testing.T, input string) (status int, out, errors string, signals []syscall.Signal) {
	t.Helper()
	// The input is a file, as the console is: a command gets it as it is.
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, []byte(input), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var stdout, stderr bytes.Buffer
	s := &Shell{In: in, Out: &stdout, Err: &stderr, Signal: func(n syscall.Signal) error {
		signals = append(signals, n)
		return nil
	}}
	status = s.Run()
	return status, stdout.String(), strings.ReplaceAll(stderr.String(), "emergency# ", ""), signals
}

func TestCommands(t *testing.T) {
	tests := []struct {
		input  string
		status int
		out    string
		err    string
	}{
		{"", 0, "", "\n"},
		{"exit\n", 0, "", ""},
		{"\n  \nexit\necho not reached\n", 0, "", ""},
		{"sh -c 'exit 3'\nexit\n", 3, "", ""},
		{"sh -c 'exit 3'\ntrue\nexit\n", 0, "", ""},
		{"echo 'a  b' c\nexit\n", 0, "a  b c\n", ""},
		{"echo last line without newline", 0, "last line without newline\n", "\n"},
		{"sh -c 'kill -9 $$'\nexit\n", 137, "", "sh: killed\n"},
		{"no-such-program\nexit\n", 127, "", "no-such-program: not found; \"help\" lists what there is\n"},
		{"/etc/passwd\nexit\n", 127, "", "/etc/passwd: not found; \"help\" lists what there is\n"},
		{"echo 'open\nexit\n", 2, "", "quotation without an end\n"},
		{"cd /no/such\nexit\n", 1, "", "cd: chdir /no/such: no such file or directory\n"},
		{"cat /no/such\nexit\n", 1, "", "cat: open /no/such: no such file or directory\n"},
		{"ls /no/such\nexit\n", 1, "", "ls: open /no/such: no such file or directory\n"},
	}
	for _, test := range tests {
		status, out, err, _ := run(t, test.input)
		if status != test.status || out != test.out || err != test.err {
			t.Errorf("%q: %d, %q, %q; want %d, %q, %q", test.input, status, out, err, test.status, test.out, test.err)
		}
	}
}

func TestDirectories(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("sub/inner", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("sub/file", []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, out, errors, _ := run(t, "cd sub\nls\ncat file\nexit\n")
	if out != "file\ninner/\ncontent\n" || errors != "" {
		t.Errorf("printed %q, %q", out, errors)
	}
}

func TestHelpAndPower(t *testing.T) {
	_, out, _, signals := run(t, "help\npoweroff\nreboot\nexit\n")
	if out != help {
		t.Errorf("help: %q", out)
	}
	if len(signals) != 2 || signals[0] != syscall.SIGUSR2 || signals[1] != syscall.SIGTERM {
		t.Errorf("signals: %v", signals)
	}
}
