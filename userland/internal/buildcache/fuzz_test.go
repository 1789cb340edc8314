package buildcache

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"sourcery/userland/internal/seed"
)

// A cache's folder, and a seed's index, may hold anything: an action is a miss,
// or what is found is what its digest says.
func FuzzDirectory(f *testing.F) {
	name := actionName(actionOf("a"))
	good, bad := []byte("archive"), []byte("brchive")
	dir := f.TempDir()
	c, err := Open(Options{Cache: dir, Log: f.Logf, Warn: f.Logf})
	if err != nil {
		f.Fatal(err)
	}
	defer c.Abandon()
	if _, err := c.Put(actionOf("a"), sha256.Sum256(good), int64(len(good)), bytes.NewReader(good)); err != nil {
		f.Fatal(err)
	}
	record, err := os.ReadFile(filepath.Join(dir, "actions", name))
	if err != nil {
		f.Fatal(err)
	}
	index := append([]byte("SRCSEED1"), record...)
	f.Add(record, index, good)
	f.Add(record[:10], index[:20], good)
	f.Add(record, index, bad)
	f.Add(append(record[:71:71], 0xFF), index[:8], good)
	f.Add([]byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, record, index, content []byte) {
		dir, seeds := t.TempDir(), t.TempDir()
		for place, data := range map[string][]byte{
			filepath.Join(dir, "actions", name):  record,
			filepath.Join(seeds, seed.IndexName): index,
			objectPath(dir, string(good)):        content,
			objectPath(seeds, string(good)):      content,
		} {
			if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(place, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c, _ := open(t, Options{Cache: dir, Seeds: []string{seeds}})
		if got, found := get(t, c, "a"); found && got != string(good) {
			t.Fatalf("got %q", got)
		}
	})
}
