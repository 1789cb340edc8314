package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func left(t *testing.T) (*outputs, string) {
	t.Helper()
	work := t.TempDir()
	return &outputs{work: work, into: filepath.Join(t.TempDir(), "outputs"), files: 10, size: 100}, work
}

func TestDeclaredOutputsAreTakenWithTheModesOfATree(t *testing.T) {
	taking, work := left(t)
	check(t, os.MkdirAll(filepath.Join(work, "out", "closed"), 0o755))
	check(t, os.WriteFile(filepath.Join(work, "out", "closed", "tool"), []byte("x"), 0o111))
	check(t, os.WriteFile(filepath.Join(work, "out", "file"), []byte("some"), 0o600))
	check(t, os.WriteFile(filepath.Join(work, "other"), []byte("not asked for"), 0o600))
	check(t, os.Chmod(filepath.Join(work, "out", "closed"), 0))
	check(t, taking.take([]string{"out", "out/file", "missing", "missing/too"}))
	for name, mode := range map[string]os.FileMode{"out": 0o755, "out/closed": 0o755, "out/closed/tool": 0o755, "out/file": 0o644} {
		found, err := os.Stat(filepath.Join(taking.into, name))
		check(t, err)
		if found.Mode().Perm() != mode {
			t.Errorf("%s has %v", name, found.Mode())
		}
	}
	if _, err := os.Stat(filepath.Join(taking.into, "other")); err == nil {
		t.Error("something was taken that is no output")
	}
}

func TestNoLinkIsFollowedAndNothingIsTakenThatNoTreeHolds(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(secret, []byte("secret"), 0o600))
	for name, plant := range map[string]func(string) error{
		"link":   func(place string) error { return os.Symlink(secret, place) },
		"pipe":   func(place string) error { return syscall.Mkfifo(place, 0o600) },
		"folder": func(place string) error { return os.Symlink(filepath.Dir(secret), place) },
		"a\xff":  func(place string) error { return os.WriteFile(place, nil, 0o600) },
	} {
		taking, work := left(t)
		check(t, os.Mkdir(filepath.Join(work, "out"), 0o755))
		check(t, plant(filepath.Join(work, "out", name)))
		err := taking.take([]string{"out"})
		var found *unkept
		if !errors.As(err, &found) || !strings.Contains(found.Path, "out/") {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := os.Stat(taking.into); err == nil {
			t.Errorf("%q: something was taken", name)
		}
	}
	taking, work := left(t)
	check(t, os.Symlink(filepath.Dir(secret), filepath.Join(work, "out")))
	check(t, taking.take([]string{"out/secret"}))
	if _, err := os.Stat(filepath.Join(taking.into, "out")); err == nil {
		t.Error("a link on the way was followed")
	}
}

func TestOutputsAreBounded(t *testing.T) {
	for _, one := range []struct {
		files, bytes int
		limit        string
	}{{9, 100, ""}, {10, 0, "files"}, {1, 101, "work"}} {
		taking, work := left(t)
		check(t, os.Mkdir(filepath.Join(work, "out"), 0o755))
		for number := range one.files {
			content := strings.Repeat("x", one.bytes*min(1, max(0, 1-number)))
			check(t, os.WriteFile(filepath.Join(work, "out", fmt.Sprint(number)), []byte(content), 0o644))
		}
		err := taking.take([]string{"out"})
		var over *exceeded
		if found := errors.As(err, &over); found != (one.limit != "") || (found && over.limit != one.limit) {
			t.Errorf("%+v: %v", one, err)
		}
	}
	// A hole counts like content.
	taking, work := left(t)
	check(t, os.WriteFile(filepath.Join(work, "out"), nil, 0o644))
	check(t, os.Truncate(filepath.Join(work, "out"), 1<<40))
	if err := taking.take([]string{"out"}); err == nil {
		t.Error("it was taken")
	}
}

func TestDeepFoldersAreRefused(t *testing.T) {
	taking, work := left(t)
	taking.files = 1000
	check(t, os.MkdirAll(filepath.Join(work, strings.Repeat("d/", deepest+2)), 0o755))
	var found *unkept
	if err := taking.take([]string{"d"}); !errors.As(err, &found) || !strings.Contains(found.Reason, "nested") {
		t.Error(err)
	}
}
