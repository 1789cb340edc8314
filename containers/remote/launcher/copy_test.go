package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var seven = []string{"name-01", "name-02", "c", "a", "b", "name-03", "name-00"}

// laidOut makes files as a farm would: each executable, and of now.
func laidOut(t *testing.T, files map[string]string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		place := filepath.Join("tree", name)
		check(t, os.MkdirAll(filepath.Dir(place), 0o700))
		check(t, os.WriteFile(place, []byte(content), 0o777))
	}
	check(t, os.MkdirAll("tree", 0o700))
	return "tree"
}

// sent is a tree of these files as a request says it.
func sent(at string, files map[string]string, executables []string, folders ...string) Tree {
	tree := Tree{At: at, Files: int64(len(files)), Executables: executables, Folders: folders}
	entries := []entry{}
	for name, content := range files {
		tree.Bytes += int64(len(content))
		entries = append(entries, entry{
			path: name, digest: digestOf([]byte(content)), size: int64(len(content)),
			executable: slices.Contains(executables, name),
		})
	}
	for _, name := range folders {
		entries = append(entries, entry{path: name, folder: true})
	}
	tree.Digest = manifestDigest(entries)
	return tree
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestACopyHasModesAndTimesOfItsOwn(t *testing.T) {
	files := map[string]string{"file": "some", "folder/tool": "x"}
	tree := sent(laidOut(t, files), files, []string{"folder/tool"}, "a/b")
	for _, one := range []struct {
		writable   bool
		file, tool os.FileMode
	}{{false, 0o444, 0o555}, {true, 0o644, 0o755}} {
		target := filepath.Join(t.TempDir(), "copy")
		c := &copying{tree: tree, epoch: 1234567, writable: one.writable, owner: -1}
		check(t, c.copyTo(target))
		for name, mode := range map[string]os.FileMode{
			"": 0o755, "file": one.file, "folder": 0o755, "folder/tool": one.tool, "a": 0o755, "a/b": 0o755,
		} {
			found, err := os.Stat(filepath.Join(target, name))
			check(t, err)
			if found.Mode().Perm() != mode || found.ModTime().Unix() != 1234567 {
				t.Errorf("%q has %v, %v", name, found.Mode(), found.ModTime())
			}
		}
		content, err := os.ReadFile(filepath.Join(target, "file"))
		check(t, err)
		if string(content) != "some" {
			t.Errorf("it holds %q", content)
		}
	}
}

func refusedInputs(t *testing.T, tree Tree) {
	t.Helper()
	err := (&copying{tree: tree, owner: -1}).copyTo(filepath.Join(t.TempDir(), "copy"))
	var known *refusal
	if !errors.As(err, &known) || known.code != "inputs" || !strings.HasPrefix(known.words, tree.At+" ") {
		t.Errorf("%+v: %v", tree, err)
	}
}

func TestWhatIsNotAsItWasSentIsRefused(t *testing.T) {
	at := laidOut(t, map[string]string{"file": "some", "second": "x"})
	for _, tree := range []Tree{
		{At: at, Files: 1, Bytes: 5}, {At: at, Files: 3, Bytes: 5}, {At: at, Files: 2, Bytes: 4},
		{At: at, Files: 2, Bytes: 6},
	} {
		refusedInputs(t, tree)
	}
}

func TestWhatIsAsLongAsItWasSentAndSomethingElseIsRefused(t *testing.T) {
	files := map[string]string{"file": "some", "folder/second": "x"}
	for name, spoil := range map[string]func(at string) error{
		"a byte":      func(at string) error { return os.WriteFile(at+"/file", []byte("sale"), 0o777) },
		"a name":      func(at string) error { return os.Rename(at+"/file", at+"/other") },
		"a place":     func(at string) error { return os.Rename(at+"/file", at+"/folder/file") },
		"a folder":    func(at string) error { return os.Mkdir(at+"/planted", 0o777) },
		"two changed": func(at string) error { return os.WriteFile(at+"/folder/second", []byte("y"), 0o777) },
		"lines": func(at string) error {
			return os.Rename(at+"/file", at+"/fi\nle")
		},
	} {
		at := laidOut(t, files)
		tree := sent(at, files, nil)
		check(t, (&copying{tree: tree, owner: -1}).copyTo(filepath.Join(t.TempDir(), "copy")))
		check(t, spoil(at))
		t.Log(name)
		refusedInputs(t, tree)
	}
}

func TestAnExecutableThatIsNotThereIsRefused(t *testing.T) {
	files := map[string]string{"file": "some"}
	tree := sent(laidOut(t, files), files, nil)
	tree.Executables = []string{"file"}
	refusedInputs(t, tree)
}

func TestToolsAreComparedAsInputsAreWithoutTheRequestAmongThem(t *testing.T) {
	files := map[string]string{"bwrap": "some", "lib/libc.so.6": "x"}
	at := laidOut(t, files)
	tree := sent(at, files, []string{"bwrap"})
	check(t, os.WriteFile(at+"/request", []byte("{}"), 0o666))
	copied := func() (string, error) {
		target := filepath.Join(t.TempDir(), "copy")
		return target, (&copying{tree: tree, programs: true, owner: -1, besides: "request"}).copyTo(target)
	}
	target, err := copied()
	check(t, err)
	for _, name := range []string{"bwrap", "lib/libc.so.6"} {
		found, err := os.Stat(filepath.Join(target, name))
		check(t, err)
		if found.Mode().Perm() != 0o555 {
			t.Errorf("%s has %v", name, found.Mode())
		}
	}
	if _, err := os.Stat(filepath.Join(target, "request")); !os.IsNotExist(err) {
		t.Errorf("the request was copied: %v", err)
	}
	check(t, os.WriteFile(at+"/lib/libc.so.6", []byte("y"), 0o666))
	if _, err := copied(); err == nil {
		t.Error("another library was taken")
	}
}

func TestAFileOfManyPiecesIsCopiedWhole(t *testing.T) {
	files := map[string]string{"large": string(counting(3*pieceSize + 17)), "none": ""}
	target := filepath.Join(t.TempDir(), "copy")
	check(t, (&copying{tree: sent(laidOut(t, files), files, nil), owner: -1}).copyTo(target))
	for name, wanted := range files {
		content, err := os.ReadFile(filepath.Join(target, name))
		check(t, err)
		if string(content) != wanted {
			t.Errorf("%s has %d bytes", name, len(content))
		}
	}
}

func TestATreeIsNamedAsEverywhereInTheProject(t *testing.T) {
	// As the same test for `Tree.digest` in tests/unit/containers/remote/test_isolation.py.
	content := []byte{}
	for number := range 5120 {
		content = append(content, byte(number))
	}
	files := map[string]string{"a-b": "1", "a/b": "2", "a.c": "", "ä/ö": string(content)}
	tree := sent("at", files, []string{"a/b"}, "a/d/e", "z", "z", "a", "a/d")
	if tree.Digest != "9a0f76966722000cb577004257987429dab7d8441b43c804b08388c5ecf1b218" {
		t.Error(tree.Digest)
	}
}

func TestLinksThatAFarmLaysOutAreWhatTheyLeadTo(t *testing.T) {
	at := laidOut(t, map[string]string{})
	check(t, os.WriteFile("blob", []byte("some"), 0o444))
	check(t, os.Symlink("../blob", filepath.Join(at, "file")))
	target := filepath.Join(t.TempDir(), "copy")
	tree := sent(at, map[string]string{"file": "some"}, nil)
	check(t, (&copying{tree: tree, owner: -1}).copyTo(target))
	found, err := os.Lstat(filepath.Join(target, "file"))
	check(t, err)
	if !found.Mode().IsRegular() {
		t.Error(found.Mode())
	}
}

func TestATreeOfNothingNeedNotBeThere(t *testing.T) {
	t.Chdir(t.TempDir())
	target := filepath.Join(t.TempDir(), "copy")
	check(t, (&copying{tree: sent("none", nil, nil), owner: -1}).copyTo(target))
	if found, err := os.ReadDir(target); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
	err := (&copying{tree: Tree{At: "none", Files: 1}, owner: -1}).copyTo(filepath.Join(t.TempDir(), "copy"))
	if err == nil {
		t.Error("a tree that is not there was copied")
	}
}

func TestNamesComeInTheOrderOfTheSeed(t *testing.T) {
	names := []string{"c", "b", "a", "name-00", "name-01", "name-02", "name-03"}
	sortEntries(names, 0)
	if !slices.Equal(names, []string{"a", "b", "c", "name-00", "name-01", "name-02", "name-03"}) {
		t.Error(names)
	}
	// What order_key in containers/sandbox/confine.py gives: a test there has the same.
	sortEntries(names, 7)
	if !slices.Equal(names, seven) {
		t.Error(names)
	}
}
