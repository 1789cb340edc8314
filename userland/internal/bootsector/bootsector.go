// Package bootsector tells from the first sector of a disk or partition what is
// on it, as far as finding the stick needs it.
package bootsector

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Size is the length of a boot sector in bytes.
const Size = 512

// FormatID gives a FAT volume ID as all tools show it, like 1A2B-3C4D.
func FormatID(id uint32) string { return fmt.Sprintf("%04X-%04X", id>>16, id&0xFFFF) }

// FAT32 gives the volume ID of a FAT32 file system that begins with this sector
// (Microsoft, FAT: General Overview of On-Disk Format 1.03, "Boot Sector and
// BPB": BS_VolID at 67, BS_FilSysType at 82).
func FAT32(sector []byte) (id string, found bool) {
	if !signed(sector) || !bytes.Equal(sector[82:90], []byte("FAT32   ")) {
		return "", false
	}
	return FormatID(binary.LittleEndian.Uint32(sector[67:])), true
}

// signed reports whether a sector has the signature of all boot sectors.
func signed(sector []byte) bool {
	return len(sector) >= Size && sector[510] == 0x55 && sector[511] == 0xAA
}

// Describe says in a few words what begins with this sector.
func Describe(sector []byte) string {
	if id, found := FAT32(sector); found {
		return "FAT32 " + id
	}
	switch {
	case len(sector) < Size:
		return "shorter than a sector"
	case bytes.Equal(sector[:Size], make([]byte, Size)):
		return "zeros"
	case bytes.Equal(sector[3:11], []byte("NTFS    ")):
		return "NTFS"
	case bytes.Equal(sector[3:11], []byte("EXFAT   ")):
		return "exFAT"
	case signed(sector) && bytes.HasPrefix(sector[54:], []byte("FAT1")):
		return fmt.Sprintf("%s %s", bytes.TrimSpace(sector[54:62]), FormatID(binary.LittleEndian.Uint32(sector[39:])))
	case signed(sector) && sector[450] == 0xEE:
		return "partition table (GPT)"
	case signed(sector) && sector[446]&0x7F == 0 && sector[450] != 0:
		return "partition table (MBR)"
	case signed(sector):
		return "boot sector, but no FAT32"
	}
	return "no boot sector"
}
