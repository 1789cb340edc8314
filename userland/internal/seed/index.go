// Package seed reads and writes compile seeds: results of the go command that
// are made once, when the image is built, and read in place on the device.
//
// Format, version 1. A seed is a directory with
//
//   - index: the 8 bytes "SRCSEED1", then one record of 72 bytes for each
//     action, in ascending order of action ID, no action ID twice, nothing
//     after the last one. A record is the action ID (32 bytes), the output ID
//     (32 bytes) and the size of the output in bytes (8 bytes, big-endian).
//   - objects: the outputs, laid out as package object says.
//
// There are no times and no owners in it: the same records give the same bytes.
// Action and output IDs are those of the go command (cmd/go/internal/cache):
// SHA-256 of what goes into a build step, and of what came out of it.
package seed

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"sourcery/userland/internal/object"
)

// IndexName is the name of the index in the seed's directory.
const IndexName = "index"

const (
	magic      = "SRCSEED1"
	actionSize = 32
	recordSize = actionSize + 32 + 8
)

// An ActionID is the go command's digest of everything that goes into a build
// step.
type ActionID [actionSize]byte

// String gives the ID as 64 lower-case hexadecimal digits.
func (id ActionID) String() string { return hex.EncodeToString(id[:]) }

// A Record says which object an action has as its output.
type Record struct {
	Action ActionID
	Output object.ID
	Size   int64 // bytes
}

// AppendRecord appends the 72 bytes of r to b.
func AppendRecord(b []byte, r Record) []byte {
	b = append(b, r.Action[:]...)
	b = append(b, r.Output[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(r.Size))
}

// ParseRecord decodes the 72 bytes of a record.
func ParseRecord(b []byte) (Record, error) {
	if len(b) != recordSize {
		return Record{}, fmt.Errorf("record has %d bytes, not %d", len(b), recordSize)
	}
	size := binary.BigEndian.Uint64(b[actionSize+32:])
	if size > math.MaxInt64 {
		return Record{}, fmt.Errorf("record of action %x has the impossible size %d", b[:actionSize], size)
	}
	return Record{
		Action: ActionID(b[:actionSize]),
		Output: object.ID(b[actionSize : actionSize+32]),
		Size:   int64(size),
	}, nil
}

// An Index is the content of an index file.
type Index struct {
	records []Record // in ascending order of action ID
}

// Len gives the number of records.
func (x *Index) Len() int { return len(x.records) }

// Records gives the records in ascending order of action ID. The caller must
// not change them.
func (x *Index) Records() []Record { return x.records }

// Find gives the record of an action, if there is one.
func (x *Index) Find(action ActionID) (Record, bool) {
	i, found := slices.BinarySearchFunc(x.records, action, func(r Record, a ActionID) int {
		return bytes.Compare(r.Action[:], a[:])
	})
	if !found {
		return Record{}, false
	}
	return x.records[i], true
}

// ErrFormat is wrapped by every error about bytes that are not an index.
var ErrFormat = errors.New("not a valid seed index")

// ParseIndex decodes an index file, and accepts nothing but what AppendIndex
// writes. The error wraps ErrFormat.
func ParseIndex(data []byte) (*Index, error) {
	x, err := salvageIndex(data)
	if err != nil {
		return nil, err
	}
	return x, nil
}

// salvageIndex decodes what can be read of an index that may be damaged, and
// says what is wrong with it. A record that is wrong can only cause a miss,
// because nobody believes an object before its SHA-256 was checked.
func salvageIndex(data []byte) (*Index, error) {
	body, found := bytes.CutPrefix(data, []byte(magic))
	if !found {
		return &Index{}, fmt.Errorf("%w: begins with %q, not with %q", ErrFormat, data[:min(len(data), len(magic))], magic)
	}
	var problem error
	if rest := len(body) % recordSize; rest != 0 {
		problem = fmt.Errorf("%w: %d bytes after the last whole record", ErrFormat, rest)
		body = body[:len(body)-rest]
	}
	x := &Index{records: make([]Record, 0, len(body)/recordSize)}
	for b := range slices.Chunk(body, recordSize) {
		r, err := ParseRecord(b)
		if err != nil {
			problem = fmt.Errorf("%w: %w", ErrFormat, err)
			continue
		}
		if n := len(x.records); n > 0 && compareActions(x.records[n-1], r) >= 0 {
			problem = fmt.Errorf("%w: action %s out of order", ErrFormat, r.Action)
		}
		x.records = append(x.records, r)
	}
	if problem != nil {
		slices.SortStableFunc(x.records, compareActions)
	}
	return x, problem
}

func compareActions(a, b Record) int { return bytes.Compare(a.Action[:], b.Action[:]) }

// AppendIndex appends the index file that holds the records, given in any
// order, to b. Two records of one action are an error.
func AppendIndex(b []byte, records []Record) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(records), compareActions)
	b = append(b, magic...)
	for i, r := range sorted {
		if i > 0 && sorted[i-1].Action == r.Action {
			return nil, fmt.Errorf("two records of action %s", r.Action)
		}
		b = AppendRecord(b, r)
	}
	return b, nil
}

// A Seed is a seed's directory with its index in memory.
type Seed struct {
	Index
	dir string
}

// Open reads the index of the seed in dir, an absolute path.
func Open(dir string) (*Seed, error) {
	s, err := Salvage(dir)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Salvage is Open for a place where a slow build is better than none: it gives
// a seed in any case, with the records that could be read, along with the error
// that Open would have given. The error wraps fs.ErrNotExist where there is no
// index.
func Salvage(dir string) (*Seed, error) {
	data, err := os.ReadFile(filepath.Join(dir, IndexName))
	if err != nil {
		return &Seed{dir: dir}, fmt.Errorf("seed: %w", err)
	}
	x, err := salvageIndex(data)
	if err != nil {
		err = fmt.Errorf("seed: %s: %w", filepath.Join(dir, IndexName), err)
	}
	return &Seed{Index: *x, dir: dir}, err
}

// Path gives the file that holds the output of the record r.
func (s *Seed) Path(r Record) string { return object.Path(s.dir, r.Output) }
