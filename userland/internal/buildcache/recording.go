package buildcache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"sourcery/userland/internal/object"
	"sourcery/userland/internal/seed"
)

// A recording is a seed in the making. Its objects are written as they come;
// the index is written at the end, sorted, so that neither the order of the
// puts nor how many of them ran at once shows in it. What an intact seed
// already has is not recorded again.
type recording struct {
	path    string
	seeds   []*seed.Seed
	objects *object.Writer
	warn    func(format string, args ...any)

	mu      sync.Mutex
	records map[seed.ActionID]seed.Record
	losers  []object.ID // outputs that lost against another one of the same action
}

func openRecording(path string, seeds []*seed.Seed, warn func(string, ...any)) (*recording, error) {
	objects, err := object.NewWriter(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", explain(err, path))
	}
	rec := &recording{path: path, seeds: seeds, objects: objects, warn: warn, records: make(map[seed.ActionID]seed.Record)}
	if err := rec.merge(); err != nil {
		return nil, err
	}
	return rec, nil
}

// merge adds the records of the index on disk, made by an earlier run or by one
// that has ended in the meantime.
func (rec *recording) merge() error {
	earlier, err := seed.Open(rec.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range earlier.Records() {
		rec.add(r)
	}
	return nil
}

// add keeps a record. An action that had two different outputs is a build step
// that is not deterministic; the smaller output ID wins, since which of them
// came first is an accident, and the other is remembered for removal.
func (rec *recording) add(r seed.Record) {
	old, found := rec.records[r.Action]
	if found && old.Output != r.Output {
		rec.warn("action %s has two outputs, %s and %s: this build step is not deterministic", r.Action, old.Output, r.Output)
		if bytes.Compare(old.Output[:], r.Output[:]) < 0 {
			old, r = r, old
		}
		rec.losers = append(rec.losers, old.Output)
	}
	rec.records[r.Action] = r
}

func (rec *recording) find(action seed.ActionID) (seed.Record, string, bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	r, found := rec.records[action]
	return r, object.Path(rec.path, r.Output), found
}

func (rec *recording) put(r seed.Record, body io.Reader) (string, error) {
	for _, s := range rec.seeds {
		known, found := s.Find(r.Action)
		if found && known == r && object.Verify(s.Path(known), r.Output, r.Size) == nil {
			return s.Path(known), nil
		}
	}
	path, err := rec.objects.Put(r.Output, r.Size, body)
	if err != nil {
		return "", fmt.Errorf("recording: %w", explain(err, rec.path))
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.add(r)
	return path, nil
}

// close writes the index. The lock on the directory itself, which leaves no
// file behind, keeps runs that end at the same time from losing each other's
// records.
func (rec *recording) close() error {
	dir, err := os.Open(rec.path)
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("recording: locking %s: %w", rec.path, err)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if err := rec.merge(); err != nil {
		return err
	}
	records := make([]seed.Record, 0, len(rec.records))
	wanted := make(map[object.ID]bool, len(rec.records))
	for _, r := range rec.records {
		records = append(records, r)
		wanted[r.Output] = true
	}
	for _, id := range rec.losers {
		if !wanted[id] {
			os.Remove(object.Path(rec.path, id))
			os.Remove(object.Folder(rec.path, id)) // where it is empty now
		}
	}
	index, err := seed.AppendIndex(nil, records)
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	if err := rec.objects.WriteFile(seed.IndexName, index); err != nil {
		return fmt.Errorf("recording: %w", explain(err, rec.path))
	}
	return rec.objects.Close()
}

func (rec *recording) abandon() { rec.objects.Close() }
