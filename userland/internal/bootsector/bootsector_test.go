package bootsector

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// sector gives a signed sector with parts put into it.
func sector(parts map[int]string) []byte {
	s := make([]byte, Size)
	s[510], s[511] = 0x55, 0xAA
	for at, text := range parts {
		copy(s[at:], text)
	}
	return s
}

func fat32(id uint32) []byte {
	s := sector(map[int]string{3: "SOURCERY", 82: "FAT32   "})
	binary.LittleEndian.PutUint32(s[67:], id)
	return s
}

func TestFAT32(t *testing.T) {
	if id, found := FAT32(fat32(0x1A2B0C4D)); !found || id != "1A2B-0C4D" {
		t.Errorf("got %q, %v", id, found)
	}
	unsigned := fat32(1)
	unsigned[511] = 0
	for name, s := range map[string][]byte{
		"no signature": unsigned,
		"cut off":      fat32(1)[:Size-1],
		"empty":        nil,
		"FAT16":        sector(map[int]string{54: "FAT16   "}),
	} {
		if id, found := FAT32(s); found {
			t.Errorf("%s: taken for the volume %s", name, id)
		}
	}
}

func TestDescribe(t *testing.T) {
	for want, s := range map[string][]byte{
		"FAT32 0000-00FF":           fat32(0xFF),
		"FAT16 4443-4241":           sector(map[int]string{39: "ABCD", 54: "FAT16   "}),
		"NTFS":                      sector(map[int]string{3: "NTFS    "}),
		"exFAT":                     sector(map[int]string{3: "EXFAT   "}),
		"partition table (GPT)":     sector(map[int]string{450: "\xEE"}),
		"partition table (MBR)":     sector(map[int]string{446: "\x80", 450: "\x0C"}),
		"boot sector, but no FAT32": sector(nil),
		"zeros":                     make([]byte, Size),
		"no boot sector":            bytes.Repeat([]byte{7}, Size),
		"shorter than a sector":     make([]byte, 100),
	} {
		if got := Describe(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add(fat32(1))
	f.Fuzz(func(t *testing.T, s []byte) {
		if _, found := FAT32(s); found && !bytes.HasPrefix([]byte(Describe(s)), []byte("FAT32 ")) {
			t.Error("described as something else")
		}
	})
}
