package main

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// How many folders are copied at once: more does not help, and a farm gives an action its share.
const copiers = 4

// Bytes that are read at once, and hashed and written before more are.
const pieceSize = 256 << 10

// copying is one tree on its way to a place of its own, with modes, times and an order that do not
// depend on how the farm laid it out.
type copying struct {
	tree  Tree
	seed  uint64
	epoch int64
	// writable: modes are 0644, 0755 for executables, else 0444 and 0555. Folders have 0755.
	writable bool
	// programs: modes are 0555 for all.
	programs bool
	// owner of what is made, -1 for this process's.
	owner int
	// besides is a file that lies in the tree's place and is none of it.
	besides string

	executables map[string]bool
	lock        sync.Mutex
	files       int64
	bytes       int64
	entries     []entry
	folders     []string
	failed      error
}

// orderKey is what a folder's entries are sorted by: seed 0 is the order of the names. The same as
// order_key in containers/sandbox/confine.py.
func orderKey(name string, seed uint64) uint32 {
	if seed == 0 {
		return 0
	}
	// The factor is odd, so no two sums fall together; CRC alone orders alike under many seeds.
	return crc32.ChecksumIEEE([]byte(name)) * uint32(2*seed+1)
}

func sortEntries(names []string, seed uint64) {
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(orderKey(a, seed), orderKey(b, seed)), cmp.Compare(a, b))
	})
}

// copyTo makes the copy at a place, which may be there already.
func (c *copying) copyTo(target string) error {
	c.executables = map[string]bool{}
	for _, name := range c.tree.Executables {
		c.executables[name] = true
	}
	if err := c.makeFolder(target, ""); err != nil {
		return err
	}
	waiting := newQueue("")
	var all sync.WaitGroup
	for range copiers {
		all.Add(1)
		go func() {
			defer all.Done()
			piece := make([]byte, pieceSize)
			for {
				folder, ok := waiting.next()
				if !ok {
					return
				}
				inner, err := c.copyFolder(folder, target, piece)
				if err != nil {
					c.fail(err)
					inner = nil
				}
				waiting.done(inner)
			}
		}()
	}
	all.Wait()
	if c.failed != nil {
		return c.failed
	}
	for _, name := range c.tree.Folders {
		// With those on the way to it: none of them need be there.
		if err := c.makeFolders(target, name); err != nil {
			return err
		}
	}
	if c.files != c.tree.Files || c.bytes != c.tree.Bytes {
		return &refusal{"inputs", fmt.Sprintf(
			"%s has %d files of %d bytes together, and %d of %d were sent",
			c.tree.At, c.files, c.bytes, c.tree.Files, c.tree.Bytes)}
	}
	// Of what was written here, not of what the farm has, which may change meanwhile.
	if manifestDigest(c.entries) != c.tree.Digest {
		return &refusal{"inputs", fmt.Sprintf(
			"%s has other content or other names than were sent, in as many files and bytes", c.tree.At)}
	}
	return c.settle()
}

func (c *copying) fail(err error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.failed == nil {
		c.failed = err
	}
}

// copyFolder makes the entries of one folder in their order; the folders among them are to follow.
// What is read goes through piece.
func (c *copying) copyFolder(folder, target string, piece []byte) ([]string, error) {
	here := filepath.Join(c.tree.At, folder)
	opened, err := os.Open(here)
	if os.IsNotExist(err) && c.tree.Files == 0 {
		return nil, nil // Not every farm makes folders that hold nothing.
	}
	if err != nil {
		return nil, err
	}
	names, err := opened.Readdirnames(-1)
	opened.Close()
	if err != nil {
		return nil, err
	}
	sortEntries(names, c.seed)
	inner := []string{}
	for _, name := range names {
		inside := filepath.Join(folder, name)
		if c.besides != "" && inside == c.besides {
			continue
		}
		if strings.Contains(name, "\n") {
			// It would make two lines of a manifest; no tree can hold it.
			return nil, &refusal{"inputs", fmt.Sprintf("%s holds %q, which was not sent", c.tree.At, inside)}
		}
		// Where a farm lays out links to what it keeps, it is what they lead to.
		found, err := os.Stat(filepath.Join(here, name))
		if err != nil {
			return nil, err
		}
		switch {
		case found.IsDir():
			if err := c.makeFolder(target, inside); err != nil {
				return nil, err
			}
			inner = append(inner, inside)
		case found.Mode().IsRegular():
			if err := c.copyFile(target, inside, found.Size(), piece); err != nil {
				return nil, err
			}
		default:
			return nil, &refusal{"inputs", fmt.Sprintf("%s/%s is no file", c.tree.At, inside)}
		}
	}
	return inner, nil
}

// makeFolder makes a folder of the tree, or the tree's own.
func (c *copying) makeFolder(target, inside string) error {
	place := filepath.Join(target, inside)
	if err := os.Mkdir(place, 0o755); err != nil {
		if info, told := os.Lstat(place); told != nil || !info.IsDir() {
			return err
		}
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	c.folders = append(c.folders, place)
	if inside != "" {
		c.entries = append(c.entries, entry{path: inside, folder: true})
	}
	return nil
}

func (c *copying) makeFolders(target, name string) error {
	if parent := filepath.Dir(name); parent != "." {
		if err := c.makeFolders(target, parent); err != nil {
			return err
		}
	}
	return c.makeFolder(target, name)
}

func (c *copying) copyFile(target, inside string, size int64, piece []byte) error {
	c.lock.Lock()
	c.files++
	c.bytes += size
	tooMuch := c.files > c.tree.Files || c.bytes > c.tree.Bytes
	c.lock.Unlock()
	if tooMuch {
		return &refusal{"inputs", fmt.Sprintf("%s holds more than was sent", c.tree.At)}
	}
	source, err := os.Open(filepath.Join(c.tree.At, inside))
	if err != nil {
		return err
	}
	defer source.Close()
	to := filepath.Join(target, inside)
	sink, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer sink.Close()
	digest, err := send(sink, source, size, piece)
	if err != nil {
		return fmt.Errorf("%s: %w", inside, err)
	}
	if err := sink.Chmod(c.mode(inside)); err != nil {
		return err
	}
	if c.owner >= 0 {
		if err := sink.Chown(c.owner, c.owner); err != nil {
			return err
		}
	}
	c.lock.Lock()
	c.entries = append(c.entries, entry{
		path: inside, digest: digest, size: size, executable: c.executables[inside],
	})
	c.lock.Unlock()
	return setTime(to, c.epoch)
}

// mode is the mode of a file of the copy.
func (c *copying) mode(inside string) os.FileMode {
	mode := os.FileMode(0o444)
	if c.writable {
		mode = 0o644
	}
	if c.programs || c.executables[inside] {
		mode |= 0o111
	}
	return mode
}

// send copies exactly so many bytes, and gives the digest of those that it wrote.
func send(sink, source *os.File, size int64, piece []byte) (string, error) {
	h := newHasher()
	for left := size; left > 0; {
		count, err := source.Read(piece[:min(left, int64(len(piece)))])
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("it ends %d bytes early", left)
		}
		if err != nil {
			return "", err
		}
		h.Write(piece[:count])
		if _, err := sink.Write(piece[:count]); err != nil {
			return "", err
		}
		left -= int64(count)
	}
	return h.digest(), nil
}

// settle gives folders their modes and times, once nothing in them changes any more.
func (c *copying) settle() error {
	for _, place := range slices.Backward(c.folders) {
		if c.owner >= 0 {
			if err := os.Lchown(place, c.owner, c.owner); err != nil {
				return err
			}
		}
		if err := os.Chmod(place, 0o755); err != nil {
			return err
		}
	}
	for _, place := range c.folders {
		if err := setTime(place, c.epoch); err != nil {
			return err
		}
	}
	return nil
}

func setTime(place string, epoch int64) error {
	moment := syscall.Timespec{Sec: epoch}
	return os.NewSyscallError("utimensat", syscall.UtimesNano(place, []syscall.Timespec{moment, moment}))
}

// queue hands out folders until none is left, nor anybody who may still find one.
type queue struct {
	lock    sync.Mutex
	news    *sync.Cond
	folders []string
	busy    int
}

func newQueue(first string) *queue {
	q := &queue{folders: []string{first}}
	q.news = sync.NewCond(&q.lock)
	return q
}

func (q *queue) next() (string, bool) {
	q.lock.Lock()
	defer q.lock.Unlock()
	for len(q.folders) == 0 && q.busy > 0 {
		q.news.Wait()
	}
	if len(q.folders) == 0 {
		return "", false
	}
	last := len(q.folders) - 1
	folder := q.folders[last]
	q.folders = q.folders[:last]
	q.busy++
	return folder, true
}

func (q *queue) done(found []string) {
	q.lock.Lock()
	defer q.lock.Unlock()
	q.folders = append(q.folders, found...)
	q.busy--
	q.news.Broadcast()
}
