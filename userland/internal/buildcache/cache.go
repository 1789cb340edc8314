// Package buildcache is the cache behind the go command on the device, and the
// recorder of compile seeds when the image is built. It answers from what this
// or an earlier run has put, then from read-only seeds, and never hands out a
// file whose SHA-256 it has not checked: the go command trusts its cache, and
// one wrong byte in an archive makes the linker panic.
package buildcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"sourcery/userland/internal/cacheprog"
	"sourcery/userland/internal/object"
	"sourcery/userland/internal/seed"
)

// A store is where puts go: a cache or a recording.
type store interface {
	// find gives the record of an action and the file with its output, neither
	// of them checked.
	find(seed.ActionID) (r seed.Record, path string, found bool)
	// put stores the output of an action. The error is ready for the user.
	put(r seed.Record, body io.Reader) (path string, err error)
	// close makes what was put permanent.
	close() error
	// abandon removes unfinished files. It may be called at any time.
	abandon()
}

// Options say where a cache reads and writes. Paths are absolute.
type Options struct {
	Seeds  []string // searched in this order
	Cache  string   // directory for puts, shared with other runs
	Record string   // directory of the seed that puts are recorded in, where Cache is ""
	Stats  string   // file that a line with the Stats is appended to at the end
	Log    func(format string, args ...any)
	Warn   func(format string, args ...any)
}

// Stats count what a cache was asked in one run.
type Stats struct {
	Gets   int64 `json:"gets"`
	Hits   int64 `json:"hits"`
	Misses int64 `json:"misses"`
	Puts   int64 `json:"puts"`

	// Objects that there is a record of and that are not there, or not as they
	// should be: a stick that fails, and what somebody deleted in memory.
	DamagedSeed  int64 `json:"damaged_seed"`
	DamagedCache int64 `json:"damaged_cache"`
}

// A Cache implements cacheprog.Handler.
type Cache struct {
	options Options
	seeds   []*seed.Seed
	store   store // nil in a cache that cannot be written to

	gets, hits, misses, puts, damagedSeed, damagedCache atomic.Int64
}

// Open reads the seeds' indexes. A seed that is damaged is an error where a seed
// is recorded, and a warning where programs are compiled: what cannot be read
// is compiled anew there, slowly.
func Open(o Options) (*Cache, error) {
	c := &Cache{options: o}
	for _, dir := range o.Seeds {
		s, err := seed.Salvage(dir)
		if err != nil {
			if err := c.salvaged(dir, s, err); err != nil {
				return nil, err
			}
		}
		c.seeds = append(c.seeds, s)
	}
	var err error
	switch {
	case o.Cache != "":
		c.store, err = openDirectory(o.Cache)
	case o.Record != "":
		c.store, err = openRecording(o.Record, c.seeds)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// salvaged tells of a seed that is damaged, or gives the error where that is one.
func (c *Cache) salvaged(dir string, s *seed.Seed, err error) error {
	if c.options.Record != "" {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
			c.options.Log("there is no seed in %s, everything is compiled from source", dir)
			return nil
		}
	}
	c.options.Warn("%v; %d records of it can be used, the rest is compiled from source: slow, but right. Write the stick anew to mend it", err, s.Len())
	return nil
}

// Commands gives the requests that the cache can answer.
func (c *Cache) Commands() []cacheprog.Command {
	if c.store == nil {
		return []cacheprog.Command{cacheprog.Get, cacheprog.Close}
	}
	return []cacheprog.Command{cacheprog.Get, cacheprog.Put, cacheprog.Close}
}

// Get implements cacheprog.Handler. A damaged object is a miss, so that the go
// command makes it again.
func (c *Cache) Get(action seed.ActionID) (cacheprog.Entry, bool, error) {
	c.gets.Add(1)
	if c.store != nil {
		if r, path, found := c.store.find(action); found && c.intact(r, path, &c.damagedCache) {
			c.hits.Add(1)
			return cacheprog.Entry{Output: r.Output, Size: r.Size, DiskPath: path}, true, nil
		}
	}
	for _, s := range c.seeds {
		if r, found := s.Find(action); found && c.intact(r, s.Path(r), &c.damagedSeed) {
			c.hits.Add(1)
			return cacheprog.Entry{Output: r.Output, Size: r.Size, DiskPath: s.Path(r)}, true, nil
		}
	}
	c.misses.Add(1)
	c.options.Log("miss: action %s", action)
	return cacheprog.Entry{}, false, nil
}

// intact reports whether an object is what its record says, else counts it.
func (c *Cache) intact(r seed.Record, path string, damaged *atomic.Int64) bool {
	err := object.Verify(path, r.Output, r.Size)
	if err != nil {
		damaged.Add(1)
		c.options.Log("action %s: %v; it is made again", r.Action, err)
	}
	return err == nil
}

// Put implements cacheprog.Handler.
func (c *Cache) Put(action seed.ActionID, output object.ID, size int64, body io.Reader) (string, error) {
	if c.store == nil {
		return "", errors.New("this cache is read-only: it was started without -cache or -record")
	}
	c.puts.Add(1)
	return c.store.put(seed.Record{Action: action, Output: output, Size: size}, body)
}

// Close implements cacheprog.Handler.
func (c *Cache) Close() error {
	var err error
	if c.store != nil {
		err = c.store.close()
	}
	return errors.Join(err, c.writeStats())
}

// Abandon removes unfinished files, when the go command or the user has given
// up. What was put before stays in a cache; a recording is not written.
func (c *Cache) Abandon() {
	if c.store != nil {
		c.store.abandon()
	}
}

// Stats gives the counts so far.
func (c *Cache) Stats() Stats {
	return Stats{
		Gets: c.gets.Load(), Hits: c.hits.Load(), Misses: c.misses.Load(),
		Puts: c.puts.Load(), DamagedSeed: c.damagedSeed.Load(), DamagedCache: c.damagedCache.Load(),
	}
}

// writeStats appends one line. A single write with O_APPEND keeps the lines of
// go commands that run at the same time apart.
func (c *Cache) writeStats() error {
	if c.options.Stats == "" {
		return nil
	}
	line, err := json.Marshal(c.Stats())
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.options.Stats, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("statistics: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
