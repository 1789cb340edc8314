package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestACopyHasModesAndTimesOfItsOwn(t *testing.T) {
	at := laidOut(t, map[string]string{"file": "some", "folder/tool": "x"})
	tree := Tree{At: at, Files: 2, Bytes: 5, Executables: []string{"folder/tool"}, Folders: []string{"a/b"}}
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

func TestWhatIsNotAsItWasSentIsRefused(t *testing.T) {
	at := laidOut(t, map[string]string{"file": "some", "second": "x"})
	for _, tree := range []Tree{
		{At: at, Files: 1, Bytes: 5}, {At: at, Files: 3, Bytes: 5}, {At: at, Files: 2, Bytes: 4},
		{At: at, Files: 2, Bytes: 6},
	} {
		err := (&copying{tree: tree, owner: -1}).copyTo(filepath.Join(t.TempDir(), "copy"))
		var known *refusal
		if !errors.As(err, &known) || known.code != "inputs" {
			t.Errorf("%+v: %v", tree, err)
		}
	}
}

func TestLinksThatAFarmLaysOutAreWhatTheyLeadTo(t *testing.T) {
	at := laidOut(t, map[string]string{})
	check(t, os.WriteFile("blob", []byte("some"), 0o444))
	check(t, os.Symlink("../blob", filepath.Join(at, "file")))
	target := filepath.Join(t.TempDir(), "copy")
	check(t, (&copying{tree: Tree{At: at, Files: 1, Bytes: 4}, owner: -1}).copyTo(target))
	found, err := os.Lstat(filepath.Join(target, "file"))
	check(t, err)
	if !found.Mode().IsRegular() {
		t.Error(found.Mode())
	}
}

func TestATreeOfNothingNeedNotBeThere(t *testing.T) {
	t.Chdir(t.TempDir())
	target := filepath.Join(t.TempDir(), "copy")
	check(t, (&copying{tree: Tree{At: "none"}, owner: -1}).copyTo(target))
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
