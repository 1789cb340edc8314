package kmodule

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// Sizes of the parts of an ELF object for 64 bits (System V ABI, "Object Files"),
// and a limit that keeps a damaged one from taking all memory.
const (
	headerSize  = 64
	sectionSize = 64
	sizeLimit   = 16 << 20
)

var errELF = errors.New("not an ELF object for 64 bits, little-endian")

// modinfoOf gives the section .modinfo of an ELF object. It reads nothing but
// that and the tables of sections: package debug/elf takes several times as long,
// and an initramfs may have two hundred modules.
func modinfoOf(object io.ReaderAt) ([]byte, error) {
	header, err := readPart(object, 0, headerSize)
	if err != nil || !bytes.HasPrefix(header, []byte("\x7fELF\x02\x01")) {
		return nil, errELF
	}
	if binary.LittleEndian.Uint16(header[58:]) != sectionSize {
		return nil, errELF
	}
	count, names := binary.LittleEndian.Uint16(header[60:]), binary.LittleEndian.Uint16(header[62:])
	table, err := readPart(object, binary.LittleEndian.Uint64(header[40:]), uint64(count)*sectionSize)
	if err != nil {
		return nil, err
	}
	if names >= count {
		return nil, errELF
	}
	content := func(section []byte) ([]byte, error) {
		return readPart(object, binary.LittleEndian.Uint64(section[24:]), binary.LittleEndian.Uint64(section[32:]))
	}
	text, err := content(table[int(names)*sectionSize:])
	if err != nil {
		return nil, err
	}
	for ; len(table) > 0; table = table[sectionSize:] {
		name := binary.LittleEndian.Uint32(table)
		if uint64(name) < uint64(len(text)) && bytes.HasPrefix(text[name:], []byte(".modinfo\x00")) {
			return content(table)
		}
	}
	return nil, errors.New("it has no section .modinfo")
}

func readPart(object io.ReaderAt, offset, size uint64) ([]byte, error) {
	if size > sizeLimit || offset > 1<<40 {
		return nil, errELF
	}
	part := make([]byte, size)
	_, err := object.ReadAt(part, int64(offset))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return part, err
}
