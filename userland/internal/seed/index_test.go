package seed

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sourcery/userland/internal/object"
)

func record(action, output byte, size int64) Record {
	r := Record{Size: size}
	r.Action[0], r.Output[0] = action, output
	return r
}

// sample gives n records in random order, the same ones in each run.
func sample(n int) []Record {
	random := rand.New(rand.NewSource(1))
	records := make([]Record, n)
	for i := range records {
		random.Read(records[i].Action[:])
		random.Read(records[i].Output[:])
		records[i].Size = random.Int63()
	}
	return records
}

func index(t *testing.T, records ...Record) []byte {
	t.Helper()
	data, err := AppendIndex(nil, records)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The bytes are part of the format: the orchestrator reads them too.
func TestGoldenBytes(t *testing.T) {
	got := hex.EncodeToString(index(t, record(0xbb, 0x02, 258), record(0xaa, 0x01, 0)))
	zeros := strings.Repeat("00", 31)
	want := hex.EncodeToString([]byte("SRCSEED1")) +
		"aa" + zeros + "01" + zeros + "0000000000000000" +
		"bb" + zeros + "02" + zeros + "0000000000000102"
	if got != want {
		t.Errorf("index:\n got %s\nwant %s", got, want)
	}
}

func TestIndexDoesNotDependOnOrder(t *testing.T) {
	records := sample(100)
	want := index(t, records...)
	rand.New(rand.NewSource(2)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	if !bytes.Equal(index(t, records...), want) {
		t.Error("the same records in another order gave another index")
	}
}

func TestFind(t *testing.T) {
	records := sample(1000)
	x, err := ParseIndex(index(t, records...))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if got, found := x.Find(r.Action); !found || got != r {
			t.Fatalf("Find(%s) = %v, %v", r.Action, got, found)
		}
	}
	if _, found := x.Find(ActionID{1, 2, 3}); found {
		t.Error("found an action that is not there")
	}
}

func TestDuplicateActionIsRefused(t *testing.T) {
	if _, err := AppendIndex(nil, []Record{record(1, 1, 1), record(1, 2, 1)}); err == nil {
		t.Error("AppendIndex took two records of one action")
	}
}

func TestParseIndexIsStrict(t *testing.T) {
	good := index(t, record(1, 1, 1), record(2, 2, 2), record(3, 3, 3))
	negative := bytes.Clone(good)
	negative[len(magic)+actionSize+32] = 0x80
	swapped := bytes.Clone(good)
	swapped[len(magic)] = 9
	twice := bytes.Clone(good)
	twice[len(magic)] = 2
	for name, data := range map[string][]byte{
		"empty":         {},
		"other version": append([]byte("SRCSEED2"), good[len(magic):]...),
		"cut":           good[:len(good)-1],
		"trailing data": append(bytes.Clone(good), 0),
		"negative size": negative,
		"out of order":  swapped,
		"twice":         twice,
	} {
		if _, err := ParseIndex(data); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: ParseIndex = %v, want ErrFormat", name, err)
		}
	}
	if _, err := ParseIndex(good); err != nil {
		t.Errorf("good index: %v", err)
	}
}

func TestSalvageKeepsWhatCanBeRead(t *testing.T) {
	dir := t.TempDir()
	data := index(t, record(1, 1, 1), record(2, 2, 2), record(3, 3, 3))
	data[len(magic)] = 9 // the first record's action
	if err := os.WriteFile(filepath.Join(dir, IndexName), data[:len(data)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Salvage(dir)
	if !errors.Is(err, ErrFormat) {
		t.Errorf("Salvage = %v, want ErrFormat", err)
	}
	if r, found := s.Find(ActionID{2}); !found || s.Path(r) != object.Path(dir, r.Output) {
		t.Error("the intact record was not found")
	}
	if s.Len() != 2 {
		t.Errorf("%d records, want 2", s.Len())
	}
	if _, err := Open(dir); !errors.Is(err, ErrFormat) {
		t.Errorf("Open = %v, want ErrFormat", err)
	}
}

func TestNoSeed(t *testing.T) {
	s, err := Salvage(t.TempDir())
	if !errors.Is(err, fs.ErrNotExist) || s == nil || s.Len() != 0 {
		t.Errorf("Salvage = %v, %v", s, err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open = %v", err)
	}
}

func FuzzParseIndex(f *testing.F) {
	good, _ := AppendIndex(nil, sample(3))
	f.Add(good)
	f.Add(good[:50])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := ParseIndex(data)
		if err != nil {
			return
		}
		again, err := AppendIndex(nil, x.Records())
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("an index that was accepted is written differently (%v)", err)
		}
	})
}
