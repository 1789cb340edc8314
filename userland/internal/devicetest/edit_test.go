package devicetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sourcery/userland/internal/filelock"
)

// Directories whose source is made writable.
const (
	box   = "/src/example.com/box"
	words = box + "/cmd/words"
)

// edit makes source writable.
func (s *stage) edit(name string) {
	if got := s.run("installcommand", "-edit", name); got.status != 0 || got.err != "" {
		s.errorf("-edit %s: %+v", name, got)
	}
}

// changeWords makes the program of words begin with another bracket.
func (s *stage) changeWords() {
	const file = words + "/main.go"
	text, err := os.ReadFile(file)
	s.check(err)
	s.check(os.WriteFile(file, bytes.ReplaceAll(text, []byte(`"<"`), []byte(`"{"`)), 0o644))
}

// rebuilt checks what words prints when it is compiled again.
func (s *stage) rebuilt(want string) {
	s.expect("", "installcommand", "-rebuild", "words")
	s.expect(want, "words")
}

// editAround makes a directory writable that has a writable one in it: what is
// around that must not vanish, nor what was changed in it.
func editAround(s *stage) {
	const around = box + "/cmd"
	s.edit("words")
	s.changeWords()
	s.fails(1, "installcommand: "+around+": not made writable: it would hide what can be changed below it already.\n"+
		"This makes all of it writable, and keeps what was changed:\n"+
		"  umount "+words+"\n"+
		"  installcommand -edit "+around+"\n"+
		"  rm -r "+words+"\n"+
		"  cp -r /tmp/edit/5"+words+" "+around+"\n", "installcommand", "-edit", around)
	s.rebuilt("{words>\n")

	s.check(syscall.Unmount(words, 0))
	s.edit(around)
	_, err := os.Stat(around + "/slow/main.go")
	s.check(err)
	s.rebuilt("<words>\n")
	s.check(os.RemoveAll(words))
	s.check(os.CopyFS(words, os.DirFS("/tmp/edit/5"+words)))
	s.rebuilt("{words>\n")

	// What lies in it can be changed, and is not mounted once more.
	if got := s.run("installcommand", "-edit", "words"); got.status != 0 || !strings.Contains(got.out, "  umount "+around+"\n") {
		s.errorf("-edit in a writable directory: %+v", got)
	}
	s.check(syscall.Unmount(around, 0))
	s.rebuilt("<words>\n")
	s.edit("words") // as it was left
	s.rebuilt("{words>\n")
}

// manySources puts so many files into a directory of source that it takes a while
// to copy them.
func (s *stage) manySources() (dir string, count int) {
	dir, count = box+"/cmd/empty/many", 4000
	s.check(syscall.Mount("tmpfs", filepath.Dir(dir), "tmpfs", 0, ""))
	s.check(os.Mkdir(dir, 0o755))
	for i := range count {
		s.check(os.WriteFile(fmt.Sprintf("%s/%d.go", dir, i), []byte("package many\n"), 0o644))
	}
	return dir, count
}

// files counts the files directly in a directory.
func (s *stage) files(dir string) int {
	entries, err := os.ReadDir(dir)
	s.check(err)
	return len(entries)
}

// copying reports whether a file of the copy of source is there.
func copying() bool {
	found := false
	filepath.WalkDir("/tmp/edit", func(path string, _ os.DirEntry, _ error) error {
		if found = strings.HasSuffix(path, ".go"); found {
			return filepath.SkipAll
		}
		return nil
	})
	return found
}

// editInterrupted ends -edit in the middle of its copy: the next one must not take
// the half for the whole.
func editInterrupted(s *stage) {
	dir, count := s.manySources()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		s.check(os.RemoveAll("/tmp/edit"))
		edit := s.command(nil, "installcommand", "-edit", dir)
		s.check(edit.Start())
		s.waitFor("a copy", copying)
		s.check(edit.Process.Signal(sig))
		edit.Wait()
		if left := s.files("/tmp/edit"); sig != syscall.SIGKILL && !edit.ProcessState.Success() && left != 1 {
			s.errorf("%v: in /tmp/edit: %d files, want the lock", sig, left)
		}
		s.edit(dir)
		if n := s.files(dir); n != count {
			s.errorf("%v: %d files of %d", sig, n, count)
		}
		s.check(syscall.Unmount(dir, 0))
	}
}

// editAtOnce has two make the same source writable: the second waits for the first,
// and finds it done. One who waits heeds signals.
func editAtOnce(s *stage) {
	dir, count := s.manySources()
	before := mounts(s)
	release, err := filelock.Take(context.Background(), "/tmp/edit/lock")
	s.check(err)
	results := make(chan result)
	for range 2 {
		go func() { results <- s.run("installcommand", "-edit", dir) }()
	}
	waiting := func(count int) func() bool {
		return func() bool {
			locks, err := os.ReadFile("/proc/locks")
			s.check(err)
			return bytes.Count(locks, []byte("-> FLOCK")) == count
		}
	}
	s.waitFor("two that wait", waiting(2))
	third := s.command(nil, "installcommand", "-edit", dir)
	var said bytes.Buffer
	third.Stderr = &said
	s.check(third.Start())
	s.waitFor("a third", waiting(3))
	s.check(third.Process.Signal(syscall.SIGTERM))
	third.Wait()
	if got, want := said.String(), "installcommand: "+dir+": not made writable, nothing of it is left: ended by a signal: terminated\n"; third.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) || got != want {
		s.errorf("the third: %v, said %q, want %q", third.ProcessState, got, want)
	}
	release()
	for range 2 {
		if got := <-results; got.status != 0 || got.err != "" {
			s.errorf("-edit: %+v", got)
		}
	}
	if n := s.files(dir); n != count {
		s.errorf("%d files of %d", n, count)
	}
	if n := mounts(s) - before; n != 1 {
		s.errorf("%d mounts, want 1", n)
	}
}

func mounts(s *stage) int {
	data, err := os.ReadFile("/proc/self/mountinfo")
	s.check(err)
	return bytes.Count(data, []byte("\n"))
}

// lostCache deletes what the cache in memory has: that says nothing of the stick.
func lostCache(s *stage) {
	s.leaveCounts()
	s.edit("words")
	s.changeWords()
	s.rebuilt("{words>\n")
	objects, err := filepath.Glob("/tmp/cache/go-build/[0-9a-f][0-9a-f]")
	s.check(err)
	if len(objects) == 0 {
		s.errorf("nothing in the cache")
	}
	for _, dir := range objects {
		s.check(os.RemoveAll(dir))
	}
	s.rebuilt("{words>\n") // without a word
}
