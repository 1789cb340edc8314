package buildcache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sourcery/userland/internal/object"
	"sourcery/userland/internal/seed"
)

func actionOf(name string) seed.ActionID { return sha256.Sum256([]byte("action " + name)) }

// journal collects what a cache warns of.
type journal struct {
	mu       sync.Mutex
	warnings []string
}

func (j *journal) warn(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.warnings = append(j.warnings, fmt.Sprintf(format, args...))
}

func open(t *testing.T, o Options) (*Cache, *journal) {
	t.Helper()
	j := &journal{}
	o.Warn, o.Log = j.warn, t.Logf
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	return c, j
}

func put(t *testing.T, c *Cache, name, content string) string {
	t.Helper()
	path, err := c.Put(actionOf(name), sha256.Sum256([]byte(content)), int64(len(content)), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func closeCache(t *testing.T, c *Cache) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// get gives the content of an action's output, and whether there is one.
func get(t *testing.T, c *Cache, name string) (string, bool) {
	t.Helper()
	e, found, err := c.Get(actionOf(name))
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return "", false
	}
	data, err := os.ReadFile(e.DiskPath)
	if err != nil {
		t.Fatal(err)
	}
	if e.Output != sha256.Sum256(data) || e.Size != int64(len(data)) {
		t.Errorf("entry %+v does not fit its file", e)
	}
	return string(data), true
}

func expect(t *testing.T, c *Cache, name, want string) {
	t.Helper()
	if got, found := get(t, c, name); !found || got != want {
		t.Errorf("%s: got %q (found: %v), want %q", name, got, found, want)
	}
}

func expectMiss(t *testing.T, c *Cache, name string) {
	t.Helper()
	if got, found := get(t, c, name); found {
		t.Errorf("%s: got %q, want a miss", name, got)
	}
}

// record makes a seed of pairs of action and content.
func record(t *testing.T, seeds []string, pairs ...[2]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "seed")
	c, _ := open(t, Options{Record: dir, Seeds: seeds})
	for _, p := range pairs {
		put(t, c, p[0], p[1])
	}
	closeCache(t, c)
	return dir
}

// tree gives the content of all files below dir, by name.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func objectPath(dir, content string) string {
	return object.Path(dir, sha256.Sum256([]byte(content)))
}

func TestCacheSurvivesRuns(t *testing.T) {
	dir := t.TempDir()
	first, _ := open(t, Options{Cache: dir})
	expectMiss(t, first, "a")
	put(t, first, "a", "archive")
	put(t, first, "empty", "")
	expect(t, first, "a", "archive")
	// Not closed: the go command may be killed.
	second, _ := open(t, Options{Cache: dir})
	expect(t, second, "a", "archive")
	expect(t, second, "empty", "")
	put(t, second, "a", "newer")
	expect(t, second, "a", "newer")
	want := Stats{Gets: 3, Hits: 3, Puts: 1}
	if got := second.Stats(); got != want {
		t.Errorf("statistics %+v, want %+v", got, want)
	}
}

func TestDamagedCacheRecordIsAMiss(t *testing.T) {
	dir := t.TempDir()
	c, _ := open(t, Options{Cache: dir})
	put(t, c, "a", "archive")
	put(t, c, "b", "other")
	from := filepath.Join(dir, "actions", actionName(actionOf("a")))
	to := filepath.Join(dir, "actions", actionName(actionOf("b")))
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	expectMiss(t, c, "b") // the record is that of another action
	if err := os.Truncate(to, 10); err != nil {
		t.Fatal(err)
	}
	expectMiss(t, c, "b")
}

func TestSeedsAnswerInPlaceAndInOrder(t *testing.T) {
	one := record(t, nil, [2]string{"a", "a from one"}, [2]string{"b", "b from one"})
	two := record(t, nil, [2]string{"b", "b from two"}, [2]string{"c", "c from two"})
	c, _ := open(t, Options{Seeds: []string{one, two}, Cache: t.TempDir()})
	expect(t, c, "a", "a from one")
	expect(t, c, "b", "b from one")
	expect(t, c, "c", "c from two")
	e, _, err := c.Get(actionOf("c"))
	if err != nil || e.DiskPath != objectPath(two, "c from two") {
		t.Errorf("path %s (%v), want the file of the seed", e.DiskPath, err)
	}
	put(t, c, "a", "a from this run")
	expect(t, c, "a", "a from this run")
}

func TestDamagedSeedObjectIsAMiss(t *testing.T) {
	dir := record(t, nil, [2]string{"a", "archive"}, [2]string{"b", "other"})
	if err := os.WriteFile(objectPath(dir, "archive"), []byte("brchive"), 0o644); err != nil {
		t.Fatal(err)
	}
	spare := record(t, nil, [2]string{"a", "archive"})
	cacheDir := t.TempDir()
	c, _ := open(t, Options{Seeds: []string{dir}, Cache: cacheDir})
	expectMiss(t, c, "a")
	expect(t, c, "b", "other")
	want := Stats{Gets: 2, Hits: 1, Misses: 1, DamagedSeed: 1}
	if got := c.Stats(); got != want {
		t.Errorf("statistics %+v, want %+v", got, want)
	}
	put(t, c, "a", "archive")
	expect(t, c, "a", "archive")
	both, _ := open(t, Options{Seeds: []string{dir, spare}})
	expect(t, both, "a", "archive")
}

// What somebody deleted in memory says nothing of the stick.
func TestLostCacheObjectIsNoDamageOfASeed(t *testing.T) {
	dir := record(t, nil, [2]string{"a", "archive"})
	cacheDir := t.TempDir()
	c, _ := open(t, Options{Seeds: []string{dir}, Cache: cacheDir})
	put(t, c, "a", "another archive")
	put(t, c, "b", "other")
	for _, content := range []string{"another archive", "other"} {
		if err := os.Remove(objectPath(cacheDir, content)); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, c, "a", "archive")
	expectMiss(t, c, "b")
	want := Stats{Gets: 2, Hits: 1, Misses: 1, Puts: 2, DamagedCache: 2}
	if got := c.Stats(); got != want {
		t.Errorf("statistics %+v, want %+v", got, want)
	}
}

func TestDamagedSeedIndex(t *testing.T) {
	dir := record(t, nil, [2]string{"a", "archive"}, [2]string{"b", "other"})
	if err := os.Truncate(filepath.Join(dir, seed.IndexName), 8+72+5); err != nil {
		t.Fatal(err)
	}
	c, j := open(t, Options{Seeds: []string{dir}, Cache: t.TempDir()})
	_, a := get(t, c, "a")
	_, b := get(t, c, "b")
	if a == b {
		t.Errorf("a found: %v, b found: %v; want one of them", a, b)
	}
	if len(j.warnings) != 1 || !strings.Contains(j.warnings[0], "1 records of it can be used") {
		t.Errorf("warnings: %q", j.warnings)
	}
	_, err := Open(Options{Seeds: []string{dir}, Record: t.TempDir(), Log: t.Logf, Warn: t.Logf})
	if !errors.Is(err, seed.ErrFormat) {
		t.Errorf("recording upon a damaged seed: %v, want ErrFormat", err)
	}
}

func TestNoSeedIsQuiet(t *testing.T) {
	_, j := open(t, Options{Seeds: []string{filepath.Join(t.TempDir(), "none")}, Cache: t.TempDir()})
	if len(j.warnings) != 0 {
		t.Errorf("warnings: %q", j.warnings)
	}
}

func TestReadOnlyCache(t *testing.T) {
	c, _ := open(t, Options{Seeds: []string{record(t, nil, [2]string{"a", "archive"})}})
	if got := fmt.Sprint(c.Commands()); got != "[get close]" {
		t.Errorf("commands %s", got)
	}
	if _, err := c.Put(actionOf("b"), object.ID{}, 0, strings.NewReader("")); err == nil {
		t.Error("a read-only cache took a put")
	}
	expect(t, c, "a", "archive")
	closeCache(t, c)
}

func TestRecordingDoesNotDependOnOrder(t *testing.T) {
	var pairs [][2]string
	for i := range 50 {
		pairs = append(pairs, [2]string{fmt.Sprint("action", i), fmt.Sprint("content", i%20)})
	}
	want := tree(t, record(t, nil, pairs...))
	reversed := make([][2]string, 0, len(pairs))
	for _, p := range pairs {
		reversed = append([][2]string{p}, reversed...)
	}
	if got := tree(t, record(t, nil, reversed...)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("the same puts in another order gave another recording")
	}
	if len(want) != 20+1 {
		t.Errorf("%d files, want 20 objects and the index", len(want))
	}
}

func TestRecordingAddsToAnEarlierOne(t *testing.T) {
	dir := record(t, nil, [2]string{"a", "archive"})
	c, _ := open(t, Options{Record: dir})
	expect(t, c, "a", "archive")
	put(t, c, "b", "other")
	expect(t, c, "b", "other") // put in the same run
	closeCache(t, c)
	want := tree(t, record(t, nil, [2]string{"a", "archive"}, [2]string{"b", "other"}))
	if got := tree(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("two runs did not record what one run does")
	}
}

func TestRecordingsThatEndAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 8 {
		c, _ := open(t, Options{Record: dir})
		put(t, c, fmt.Sprint("action", i), fmt.Sprint("content", i))
		put(t, c, "shared", "the same for all")
		group.Add(1)
		go func() {
			defer group.Done()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	s, err := seed.Open(dir)
	if err != nil || s.Len() != 9 {
		t.Fatalf("%v; want 9 records", err)
	}
	for _, r := range s.Records() {
		if err := object.Verify(s.Path(r), r.Output, r.Size); err != nil {
			t.Error(err)
		}
	}
}

func TestRecordingLeavesOutWhatSeedsHave(t *testing.T) {
	base := record(t, nil, [2]string{"a", "archive"}, [2]string{"b", "other"})
	if err := os.Remove(objectPath(base, "other")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "layer")
	c, _ := open(t, Options{Record: dir, Seeds: []string{base}})
	if path := put(t, c, "a", "archive"); path != objectPath(base, "archive") {
		t.Errorf("path %s, want that of the seed", path)
	}
	put(t, c, "b", "other") // the seed's is lost
	put(t, c, "c", "third")
	closeCache(t, c)
	want := tree(t, record(t, nil, [2]string{"b", "other"}, [2]string{"c", "third"}))
	if got := tree(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("recorded %d files, want %d", len(got), len(want))
	}
}

func TestRecordingIsRefusedWhereABuildIsNotDeterministic(t *testing.T) {
	dir := t.TempDir()
	c, _ := open(t, Options{Record: dir})
	put(t, c, "a", "archive")
	put(t, c, "a", "another archive")
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), "not deterministic") {
		t.Errorf("Close = %v", err)
	}
	c.Abandon()
	if got := tree(t, dir); len(got) != 0 {
		t.Errorf("recorded %d files", len(got))
	}
}

func TestNothingIsRecordedWithoutClose(t *testing.T) {
	dir := t.TempDir()
	c, _ := open(t, Options{Record: dir})
	put(t, c, "a", "archive")
	c.Abandon()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestStatsLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stats")
	for range 2 {
		c, _ := open(t, Options{Cache: t.TempDir(), Stats: file})
		expectMiss(t, c, "a")
		closeCache(t, c)
	}
	got, err := os.ReadFile(file)
	line := `{"gets":1,"hits":0,"misses":1,"puts":0,"damaged_seed":0,"damaged_cache":0}` + "\n"
	if err != nil || string(got) != line+line {
		t.Errorf("statistics: %q, %v", got, err)
	}
}

// fullDisk is a body whose reading fails as the writing to a full disk does.
type fullDisk struct{}

func (fullDisk) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "object", Err: syscall.ENOSPC}
}

func TestFullDiskNamesTheRemedy(t *testing.T) {
	for name, o := range map[string]Options{"cache": {Cache: t.TempDir()}, "record": {Record: t.TempDir()}} {
		c, _ := open(t, o)
		_, err := c.Put(actionOf("a"), object.ID{}, 10, fullDisk{})
		if err == nil || !strings.Contains(err.Error(), "is full: delete") {
			t.Errorf("%s: Put = %v", name, err)
		}
		closeCache(t, c)
		if got := tree(t, o.Cache+o.Record); name == "cache" && len(got) != 0 {
			t.Errorf("left behind: %v", got)
		}
	}
}
