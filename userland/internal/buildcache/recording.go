package buildcache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"

	"sourcery/userland/internal/object"
	"sourcery/userland/internal/seed"
)

// A recording is a seed in the making. What is put is staged until the go
// command closes the cache; then the objects go to their places and the index is
// written, sorted, so that neither the order of the puts nor how many of them
// ran at once shows in it. Without a close nothing is recorded. What an intact
// seed already has is not recorded again.
type recording struct {
	path    string
	seeds   []*seed.Seed
	earlier *seed.Seed // what the directory had when this run began
	objects *object.Writer

	mu      sync.Mutex
	records map[seed.ActionID]staged // of this run
	dispute error                    // the first action that had two outputs
}

type staged struct {
	seed.Record
	path string
}

func openRecording(path string, seeds []*seed.Seed) (*recording, error) {
	objects, err := object.NewWriter(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", explain(err, path))
	}
	earlier, err := openIfAny(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return &recording{
		path: path, seeds: seeds, earlier: earlier, objects: objects,
		records: make(map[seed.ActionID]staged),
	}, nil
}

// openIfAny opens the seed in dir, or gives an empty one where there is none.
func openIfAny(dir string) (*seed.Seed, error) {
	s, err := seed.Salvage(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	return s, err
}

func (rec *recording) find(action seed.ActionID) (seed.Record, string, bool) {
	rec.mu.Lock()
	r, found := rec.records[action]
	rec.mu.Unlock()
	if found {
		return r.Record, r.path, true
	}
	old, found := rec.earlier.Find(action)
	return old, rec.earlier.Path(old), found
}

func (rec *recording) put(r seed.Record, body io.Reader) (string, error) {
	for _, s := range rec.seeds {
		known, found := s.Find(r.Action)
		if found && known == r && object.Verify(s.Path(known), r.Output, r.Size) == nil {
			return s.Path(known), nil
		}
	}
	path, err := rec.objects.Stage(r.Output, r.Size, body)
	if err != nil {
		return "", fmt.Errorf("recording: %w", explain(err, rec.path))
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if old, found := rec.records[r.Action]; found {
		rec.compare(old.Record, r)
	}
	rec.records[r.Action] = staged{r, path}
	return path, nil
}

// compare notes an action with two outputs. Which of them a seed would get is an
// accident of the order of work, so there will be none. The go command takes no
// notice of an error of a put; that of the close makes it fail.
func (rec *recording) compare(old, r seed.Record) {
	if old != r && rec.dispute == nil {
		rec.dispute = fmt.Errorf("recording: action %s has two outputs, %s and %s: this build is not deterministic, no seed can be made of it",
			r.Action, old.Output, r.Output)
	}
}

// close commits the recording. The lock on the directory itself, which leaves no
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
	earlier, err := openIfAny(rec.path) // again: another run may have ended since
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	records := slices.Clone(earlier.Records())
	outputs := make(map[object.ID]bool)
	for action, r := range rec.records {
		outputs[r.Output] = true
		if old, found := earlier.Find(action); found {
			rec.compare(old, r.Record)
			continue
		}
		records = append(records, r.Record)
	}
	if rec.dispute != nil {
		return rec.dispute
	}
	for id := range outputs {
		if err := rec.objects.Commit(id); err != nil {
			return fmt.Errorf("recording: %w", explain(err, rec.path))
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
