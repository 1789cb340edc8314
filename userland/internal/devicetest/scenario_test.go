package devicetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sourcery/userland/internal/device"
)

// A stage is where a scenario is played: the device's root is /, and this process
// is the first one.
type stage struct{ failed bool }

func (s *stage) errorf(format string, args ...any) {
	s.failed = true
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (s *stage) check(err error) {
	if err != nil {
		s.errorf("%v", err)
		os.Exit(1)
	}
}

// scenarios by name; each is also a test.
var scenarios = map[string]func(*stage){
	"nothing":                     func(*stage) {},
	"record seed":                 recordSeed,
	"run commands":                runCommands,
	"failures":                    failures,
	"many at once":                manyAtOnce,
	"signal while compiling":      signalWhileCompiling,
	"full disks":                  fullDisks,
	"damaged seed":                damagedSeed,
	"go commands by hand":         goByHand,
	"change source and rebuild":   changeSource,
	"edit around what is edited":  editAround,
	"edit interrupted":            editInterrupted,
	"edit at once":                editAtOnce,
	"lost cache":                  lostCache,
	"not the first process":       notTheFirst,
	"a user's file is in the way": userFile,
}

func TestScenarios(t *testing.T) {
	root := testDevice(t)
	for name := range scenarios {
		if name == "nothing" || name == "record seed" {
			continue // played when the device was made
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := run(root, name); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// play runs a scenario in the first process of a device.
func play(name string) int {
	s := &stage{}
	for _, dir := range []string{"/bin", "/tmp"} {
		s.check(syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=300m"))
	}
	scenarios[name](s)
	if s.failed {
		return 1
	}
	return 0
}

// A result is what a command has left.
type result struct {
	status   int
	out, err string
}

// command prepares a command with the PATH of the device and variables.
func (s *stage) command(variables []string, argv ...string) *exec.Cmd {
	path := argv[0]
	for _, dir := range []string{"/bin", platform + "/bin"} {
		if _, err := os.Stat(filepath.Join(dir, path)); err == nil && !strings.Contains(path, "/") {
			path = filepath.Join(dir, path)
		}
	}
	return &exec.Cmd{Path: path, Args: argv, Env: append([]string{"PATH=/bin:" + platform + "/bin"}, variables...)}
}

func (s *stage) finish(c *exec.Cmd) result {
	var out, errors bytes.Buffer
	c.Stdout, c.Stderr = &out, &errors
	c.Run()
	if c.ProcessState == nil {
		return result{-1, out.String(), "not started"}
	}
	status := c.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return result{128 + int(status.Signal()), out.String(), errors.String()}
	}
	return result{status.ExitStatus(), out.String(), errors.String()}
}

func (s *stage) run(argv ...string) result { return s.finish(s.command(nil, argv...)) }

// expect runs a command that is to succeed, and gives its output.
func (s *stage) expect(want string, argv ...string) {
	if got := s.run(argv...); got != (result{0, want, ""}) {
		s.errorf("%q: %+v, want output %q", argv, got, want)
	}
}

// fails runs a command that is to fail.
func (s *stage) fails(status int, message string, argv ...string) {
	got := s.run(argv...)
	if got.status != status || !strings.Contains(got.err, message) || got.out != "" {
		s.errorf("%q: %+v, want status %d and %q", argv, got, status, message)
	}
}

// builds says how many go commands have built something, by the cache's statistics.
func (s *stage) builds() int {
	data, err := os.ReadFile("/tmp/stats")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.check(err)
	}
	return bytes.Count(data, []byte("\n"))
}

// clean checks that there is nothing unfinished, and what is in /bin.
func (s *stage) clean(commands ...string) {
	var names []string
	entries, err := os.ReadDir("/bin")
	s.check(err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if fmt.Sprint(names) != fmt.Sprint(commands) {
		s.errorf("in /bin: %q, want %q", names, commands)
	}
	for _, pattern := range []string{"/tmp/cache/work/*", "/tmp/cache/go-build/.unfinished-*", "/tmp/cache/go-build/actions/.unfinished-*", "/tmp/go-build*"} {
		left, err := filepath.Glob(pattern)
		s.check(err)
		if len(left) != 0 {
			s.errorf("left behind: %q", left)
		}
	}
}

// recordSeed makes the device's seed, as the orchestrator does: the packages that
// are no commands, in the environment of the device.
func recordSeed(s *stage) {
	e, err := device.ReadEnvironment(device.Here())
	s.check(err)
	variables := e.With("GOCACHEPROG", platform+"/bin/buildcache -record "+platform+"/seed").Pairs()
	build := s.command(variables, "go", "build", "io", "os", "strconv", "os/signal", "time", "testing", "fmt")
	build.Dir = "/src/example.com/box"
	if got := s.finish(build); got.status != 0 {
		s.errorf("go build: %+v", got)
	}
}

func runCommands(s *stage) {
	words := s.command([]string{"WORD=caller's", "GOFLAGS=-mine", "STATUS=7"}, platform+"/bin/words", "a b", "", "'c'", "#!x")
	words.Stdin = strings.NewReader("input\n")
	want := result{7, "<words><a b><><'c'><#!x>caller's-mine\ninput\n", ""}
	if got := s.finish(words); got != want {
		s.errorf("first time: %+v, want %+v", got, want)
	}
	s.clean("words")
	if n := s.builds(); n != 1 {
		s.errorf("%d builds, want 1", n)
	}
	program, err := os.Stat("/bin/words")
	s.check(err)

	s.expect("<words>\n", "words") // found in /bin
	// The stub again, then by a relative path, then a copy with another name.
	s.expect("<words><x>\n", platform+"/bin/words", "x")
	s.check(os.Chdir(platform))
	s.expect("<words><x>\n", "./bin/words", "x")
	s.check(os.WriteFile("/tmp/other", []byte(stubLine("/src/example.com/box/cmd/words")), 0o755))
	s.expect("<other>\n", "/tmp/other")
	s.clean("other", "words")
	again, err := os.Stat("/bin/words")
	s.check(err)
	if !os.SameFile(program, again) || s.builds() != 2 {
		s.errorf("compiled again: %d builds, want 2", s.builds())
	}
}

func failures(s *stage) {
	s.fails(126, "undefined: undefined\ninstallcommand: broken: compiling /src/example.com/box/cmd/broken failed: go build: exit status 1\n", "broken")
	s.fails(126, "library: /src/example.com/box/cmd/library is not the directory of a command", "library")
	s.fails(127, "empty: no source: there is no Go file in /src/example.com/box/cmd/empty", "empty")
	s.fails(127, "nosource: no source: open /src/example.com/box/cmd/none: no such file or directory", "nosource")
	s.fails(127, platform+`/bin/badstub: bad stub: "/etc" is not below /src`, "badstub")
	s.fails(127, "halfstub: bad stub", "halfstub")
	s.fails(127, "halfstub: bad stub", "halfstub", "argument")
	s.fails(2, "Usage: installcommand", "installcommand")
	s.fails(2, "Usage: installcommand", "installcommand", "-unknown")
	s.clean()
}

func manyAtOnce(s *stage) {
	results := make(chan result)
	for range 6 {
		go func() { results <- s.run("words", "x") }()
	}
	for range 6 {
		if got := <-results; got != (result{0, "<words><x>\n", ""}) {
			s.errorf("got %+v", got)
		}
	}
	if n := s.builds(); n != 1 {
		s.errorf("%d builds, want 1", n)
	}
	s.clean("words")
}

func signalWhileCompiling(s *stage) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP} {
		slow := s.command(nil, "slow")
		var words bytes.Buffer
		slow.Stderr = &words
		s.check(slow.Start())
		s.waitFor("a compiler", func() bool { return len(processes("compile")) > 0 })
		s.check(slow.Process.Signal(sig))
		slow.Wait()
		if got := slow.ProcessState.ExitCode(); got != 128+int(sig) {
			s.errorf("%v: status %d", sig, got)
		}
		if want := "installcommand: slow: not compiled, nothing of it is left: ended by a signal: " + sig.String() + "\n"; !strings.HasSuffix(words.String(), want) {
			s.errorf("%v: said %q", sig, words.String())
		}
		s.clean()
		for _, name := range []string{"go", "compile", "buildcache"} {
			if pids := processes(name); len(pids) != 0 {
				s.errorf("%v: still there: %s %v", sig, name, pids)
			}
		}
	}
	s.expect("<words>\n", "words") // what was interrupted is in nobody's way
}

// processes gives the IDs of the living processes of a program.
func processes(name string) []string {
	var pids []string
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		if strings.Contains(string(data), "("+name+") ") && !strings.Contains(string(data), ") Z ") {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

func (s *stage) waitFor(what string, condition func() bool) {
	for range 3000 {
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.errorf("waited in vain for %s", what)
}

func fullDisks(s *stage) {
	for full, size := range map[string]string{"/bin": "64k", "/tmp": "256k"} {
		s.check(syscall.Mount("tmpfs", full, "tmpfs", 0, "size="+size))
		got := s.run("words")
		if got.status != 126 || !strings.Contains(got.err, "There is no space left to compile it: /tmp has ") {
			s.errorf("full %s: %+v", full, got)
		}
		s.clean()
		s.check(syscall.Unmount(full, 0))
	}
	// A go command by hand, whose cache alone is on a full disk, goes on.
	s.check(os.MkdirAll("/tmp/full", 0o755))
	s.check(syscall.Mount("tmpfs", "/tmp/full", "tmpfs", 0, "size=4k"))
	e, err := device.ReadEnvironment(device.Here())
	s.check(err)
	s.check(os.MkdirAll("/tmp/home", 0o755))
	build := s.command(e.With("GOCACHEPROG", platform+"/bin/buildcache -seed "+platform+"/seed -cache /tmp/full/cache").Pairs(),
		"go", "build", "-o", "/tmp/words", "./cmd/words")
	build.Dir = "/src/example.com/box"
	if got := s.finish(build); got.status != 0 && !strings.Contains(got.err, "is full: delete what you do not need there") {
		s.errorf("cache on a full disk: %+v", got)
	}
	left, err := filepath.Glob("/tmp/full/cache/.unfinished-*")
	s.check(err)
	if len(left) != 0 {
		s.errorf("left behind: %q", left)
	}
}

// leaveCounts has the cache's statistics go to installcommand, as on a real device.
func (s *stage) leaveCounts() {
	const helper = platform + "/bin/buildcache -seed " + platform + "/seed -cache /tmp/cache/go-build"
	s.check(os.WriteFile("/tmp/environment", []byte(environment(helper)), 0o644))
	s.check(syscall.Mount("/tmp/environment", platform+"/environment", "", syscall.MS_BIND, ""))
}

// damagedSeed flips a byte of one package that words imports: the command is
// compiled all the same, and the stick's owner told.
func damagedSeed(s *stage) {
	const seed = platform + "/seed"
	s.check(os.CopyFS("/tmp/seed", os.DirFS(seed)))
	s.check(syscall.Mount("/tmp/seed", seed, "", syscall.MS_BIND, ""))
	s.leaveCounts()
	e, err := device.ReadEnvironment(device.Here())
	s.check(err)
	s.check(os.MkdirAll("/tmp/home", 0o755))
	list := s.command(e.Pairs(), "go", "list", "-export", "-f", "{{.Export}}", "strconv")
	list.Dir = "/src/example.com/box"
	got := s.finish(list)
	object := strings.TrimSpace(got.out)
	if !strings.HasPrefix(object, seed+"/") {
		s.errorf("go list: %+v", got)
		return
	}
	s.expect("<words>\n", "words") // no complaint of an intact seed
	s.check(os.Remove("/bin/words"))
	data, err := os.ReadFile(object)
	s.check(err)
	data[len(data)/2] ^= 1
	s.check(os.Chmod(object, 0o644))
	s.check(os.WriteFile(object, data, 0o644))
	got = s.run("words")
	if got.status != 0 || got.out != "<words>\n" || !strings.Contains(got.err, "installcommand: words: the compile seed on this stick is damaged: 1 of the objects") {
		s.errorf("a flipped byte: %+v", got)
	}
	s.clean("words")
}

func goByHand(s *stage) {
	e, err := device.ReadEnvironment(device.Here())
	s.check(err)
	s.check(os.MkdirAll("/tmp/work", 0o755))
	s.check(os.WriteFile("/tmp/work/go.mod", []byte("module example.com/mine\n"), 0o644))
	s.check(os.WriteFile("/tmp/work/main.go", []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"made here\") }\n"), 0o644))
	s.check(os.WriteFile("/tmp/work/main_test.go", []byte("package main\n\nimport \"testing\"\n\nfunc TestIt(t *testing.T) {}\n"), 0o644))
	for _, argv := range [][]string{{"go", "build", "-o", "/bin/made"}, {"go", "vet"}, {"go", "test"}, {"go", "list", "-m"}} {
		c := s.command(e.Pairs(), argv...)
		c.Dir = "/tmp/work"
		if got := s.finish(c); got.status != 0 {
			s.errorf("%q: %+v", argv, got)
		}
	}
	s.expect("made here\n", "made")
}

func changeSource(s *stage) {
	const file = "/src/example.com/box/cmd/words/main.go"
	s.expect("<words>\n", "words")
	for range 2 { // the second time nothing is to be done
		s.expect(words+" can be changed now. It is in memory: copy what you want to keep to a disk.\n"+
			"This compiles a command that you have changed:\n  installcommand -rebuild words\n"+
			"This gives the original back, then the command that was compiled from it:\n"+
			"  umount "+words+"\n  installcommand -rebuild words\n", "installcommand", "-edit", "words")
	}
	text, err := os.ReadFile(file)
	s.check(err)
	s.check(os.WriteFile(file, bytes.ReplaceAll(text, []byte(`"<"`), []byte(`"{"`)), 0o644))
	s.expect("<words>\n", "words") // not before it is compiled again
	s.expect("", "installcommand", "-rebuild", "words")
	s.expect("{words>\n", "words")

	s.check(os.WriteFile(file, []byte("package main\n\nfunc main() { nonsense }\n"), 0o644))
	s.fails(126, "undefined: nonsense", "installcommand", "-rebuild", "words")
	s.expect("{words>\n", "words") // the one that works is still there

	s.check(syscall.Unmount(filepath.Dir(file), 0))
	s.expect("", "installcommand", "-rebuild", "words")
	s.expect("<words>\n", "words")

	s.fails(1, "there is no stub of this name", "installcommand", "-edit", "nothing")
	s.fails(1, "/etc is not below /src", "installcommand", "-edit", "/etc")
	s.fails(1, "no such file or directory", "installcommand", "-edit", "/src/none")
	s.fails(127, "there is no stub of this name", "installcommand", "-rebuild", "nothing")
	s.fails(127, "go is not a stub", "installcommand", "-rebuild", "go")
}

func notTheFirst(s *stage) {
	s.fails(2, "it only runs as process 1", "init")
	s.fails(2, "it only runs as process 1", "init", "0")
}

func userFile(s *stage) {
	s.check(os.WriteFile("/bin/words", []byte("#!/bin/sh\n"), 0o755))
	s.fails(126, "/bin/words is in the way: it is not the program of /src/example.com/box/cmd/words", platform+"/bin/words")
	s.clean("words")
}
