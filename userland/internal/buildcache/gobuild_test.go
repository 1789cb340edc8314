package buildcache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sourcery/userland/internal/object"
	"sourcery/userland/internal/seed"
)

// A workshop is a small module, and the go command with our cache behind it. Its
// packages need few of the standard library's, so that a build takes seconds.
type workshop struct {
	t       *testing.T
	module  string // directory
	program string // our buildcache
	stats   string // file
}

var sources = map[string]string{
	"go.mod":     "module example.com/small\n\ngo 1.24\n",
	"one/one.go": "package one\n\nimport \"strconv\"\n\nfunc One() string { return strconv.Itoa(1) }\n",
	"two/two.go": "package two\n\nimport \"example.com/small/one\"\n\nfunc Two() string { return one.One() + one.One() }\n",
	"three/3.go": "package three\n\nimport \"unicode/utf8\"\n\nfunc Three() int { return utf8.RuneLen('3') }\n",
	"cmd/say/main.go": "package main\n\nimport (\n\t\"example.com/small/three\"\n\t\"example.com/small/two\"\n)\n\n" +
		"func main() { println(two.Two(), three.Three()) }\n",
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles a part of the standard library")
	}
	dir := t.TempDir()
	w := &workshop{
		t: t, module: filepath.Join(dir, "module"),
		program: filepath.Join(dir, "buildcache"), stats: filepath.Join(dir, "stats"),
	}
	for name, text := range sources {
		file := filepath.Join(w.module, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The go command indexes no directory that has just been changed, and its
	// index, too, goes through the cache.
	for _, pattern := range []string{"", "*", "*/*", "*/*/*"} {
		names, err := filepath.Glob(filepath.Join(w.module, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := os.Chtimes(name, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	build := exec.Command("go", "build", "-o", w.program, "sourcery/userland/cmd/buildcache")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return w
}

// build runs "go build" in the module, with the cache's options given, and gives
// what it printed.
func (w *workshop) build(cacheOptions string, arguments ...string) string {
	w.t.Helper()
	command := exec.Command("go", append([]string{"build"}, arguments...)...)
	command.Dir = w.module
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.t.TempDir(), "GOCACHE=" + w.t.TempDir(),
		"GOCACHEPROG=" + w.program + " -stats " + w.stats + " " + cacheOptions,
		"CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOTOOLCHAIN=local", "GOPROXY=off", "GOWORK=off", "TZ=UTC",
	}
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		w.t.Fatalf("go build %q with cache %s: %v\n%s", arguments, cacheOptions, err, &out)
	}
	return out.String()
}

// lastStats gives what the last build has asked the cache.
func (w *workshop) lastStats() Stats {
	w.t.Helper()
	data, err := os.ReadFile(w.stats)
	if err != nil {
		w.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	var s Stats
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// say builds the program and checks what it says.
func (w *workshop) say(cacheOptions string) string {
	w.t.Helper()
	program := filepath.Join(w.t.TempDir(), "say")
	printed := w.build(cacheOptions, "-o", program, "./cmd/say")
	out, err := exec.Command(program).CombinedOutput()
	if err != nil || string(out) != "11 1\n" {
		w.t.Errorf("the program says %q (%v)", out, err)
	}
	return printed
}

func differences(a, b map[string]string) []string {
	var names []string
	for name := range a {
		if b[name] != a[name] {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, found := a[name]; !found {
			names = append(names, name)
		}
	}
	return names
}

func TestGoBuild(t *testing.T) {
	w := newWorkshop(t)
	recorded := make(map[int]map[string]string)
	var dir string
	for _, parallel := range []int{1, 4} {
		dir = filepath.Join(t.TempDir(), "seed")
		w.build("-record "+dir, fmt.Sprint("-p=", parallel), "./one", "./two", "./three")
		recorded[parallel] = tree(t, dir)
	}
	if names := differences(recorded[1], recorded[4]); len(names) != 0 {
		t.Errorf("-p=1 and -p=4 recorded different seeds: %q differ", names)
	}
	if s := w.lastStats(); s.Puts == 0 || len(recorded[1]) < 20 {
		t.Fatalf("nothing to compare: %+v, %d files", s, len(recorded[1]))
	}

	t.Run("layers", func(t *testing.T) {
		// Recorded in two steps, the second upon the first, the seeds hold
		// together what one has.
		lower, upper := filepath.Join(t.TempDir(), "lower"), filepath.Join(t.TempDir(), "upper")
		w.build("-record "+lower, "./one")
		w.build("-seed "+lower+" -record "+upper, "./one", "./two", "./three")
		union := tree(t, lower)
		maps.Copy(union, tree(t, upper))
		delete(union, seed.IndexName)
		whole := maps.Clone(recorded[1])
		delete(whole, seed.IndexName)
		if names := differences(whole, union); len(names) != 0 {
			t.Errorf("two layers differ from one: %q", names)
		}
		a, b := openSeed(t, lower), openSeed(t, upper)
		both := slices.Concat(a.Records(), b.Records())
		index, err := seed.AppendIndex(nil, both) // refuses an action that both have
		if err != nil || string(index) != recorded[1][seed.IndexName] {
			t.Errorf("the layers' indexes do not make up that of one seed (%v)", err)
		}
	})

	t.Run("seed hits", func(t *testing.T) {
		cache := t.TempDir()
		w.say("-seed " + dir + " -cache " + cache)
		s := w.lastStats()
		// The index of the main package's directory, its archive, its link.
		if s.Misses > 5 || s.Hits < 20 || s.DamagedSeed != 0 {
			t.Errorf("first build of a command: %+v, want at most 5 misses", s)
		}
		w.say("-seed " + dir + " -cache " + cache)
		if s := w.lastStats(); s.Misses > 1 || s.Puts > 1 {
			t.Errorf("second build of a command: %+v, want at most 1 miss", s)
		}
	})

	t.Run("flipped byte", func(t *testing.T) {
		flipped := filepath.Join(t.TempDir(), "seed")
		if err := os.CopyFS(flipped, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		clean := flipByte(t, w, flipped)
		printed := w.say("-verbose -seed " + flipped + " -cache " + t.TempDir())
		s := w.lastStats()
		if s.DamagedSeed == 0 || s.Misses <= clean.Misses {
			t.Errorf("%+v, want damage and more misses than in %+v", s, clean)
		}
		if !strings.Contains(printed, "object damaged") {
			t.Errorf("-verbose says nothing of the damage: %q", printed)
		}
	})
}

func openSeed(t *testing.T, dir string) *seed.Seed {
	t.Helper()
	s, err := seed.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// flipByte flips one bit in the middle of the largest object, the archive of
// package runtime, and gives the statistics of a build with the intact seed.
func flipByte(t *testing.T, w *workshop, dir string) Stats {
	t.Helper()
	w.say("-seed " + dir + " -cache " + t.TempDir())
	clean := w.lastStats()
	s := openSeed(t, dir)
	largest := slices.MaxFunc(s.Records(), func(a, b seed.Record) int { return int(a.Size - b.Size) })
	path := s.Path(largest)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if object.Verify(path, largest.Output, largest.Size) == nil {
		t.Fatal("the flipped byte is not seen")
	}
	return clean
}
