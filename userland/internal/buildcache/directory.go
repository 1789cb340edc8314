package buildcache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"sourcery/userland/internal/object"
	"sourcery/userland/internal/seed"
)

// A directory is a cache that lives on between runs and is shared by go
// commands that run at the same time. Objects lie in it as in a seed; the
// record of an action, 72 bytes as in a seed's index, is the file
// actions/<2 hex digits>/<62 hex digits> of the action ID. An object is in
// place before the record that names it, and both appear by renaming.
type directory struct {
	path    string
	objects *object.Writer
	actions *object.Writer
}

func openDirectory(path string) (*directory, error) {
	objects, err := object.NewWriter(path)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", explain(err, path))
	}
	actions, err := object.NewWriter(filepath.Join(path, "actions"))
	if err != nil {
		return nil, fmt.Errorf("cache: %w", explain(err, path))
	}
	return &directory{path: path, objects: objects, actions: actions}, nil
}

func actionName(action seed.ActionID) string {
	name := action.String()
	return filepath.Join(name[:2], name[2:])
}

func (d *directory) find(action seed.ActionID) (seed.Record, string, bool) {
	data, err := os.ReadFile(filepath.Join(d.path, "actions", actionName(action)))
	if err != nil {
		return seed.Record{}, "", false
	}
	r, err := seed.ParseRecord(data)
	if err != nil || r.Action != action {
		return seed.Record{}, "", false
	}
	return r, object.Path(d.path, r.Output), true
}

func (d *directory) put(r seed.Record, body io.Reader) (string, error) {
	path, err := d.objects.Put(r.Output, r.Size, body)
	if err != nil {
		return "", fmt.Errorf("cache: %w", explain(err, d.path))
	}
	if err := d.actions.WriteFile(actionName(r.Action), seed.AppendRecord(nil, r)); err != nil {
		return "", fmt.Errorf("cache: %w", explain(err, d.path))
	}
	return path, nil
}

func (d *directory) close() error {
	return errors.Join(d.objects.Close(), d.actions.Close())
}

func (d *directory) abandon() {
	d.objects.Close()
	d.actions.Close()
}

// explain adds the remedy to an error that has one.
func explain(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("the file system of %s is full: delete what you do not need there, or empty the cache with rm -r %s; where rm is not compiled yet, the shell empties a file with > FILE: %w", dir, dir, err)
	}
	return err
}
