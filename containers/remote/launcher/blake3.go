package main

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// BLAKE3 names everything in this project, and Go's standard library has none. This is the hash of
// the paper (O'Connor, Aumasson, Neves, Wilcox-O'Hearn: "BLAKE3", sections 2.1 to 2.5) without keys,
// for 32 bytes of output; its names are those of the paper.
const (
	blockSize   = 64
	chunkBlocks = 16

	chunkStart, chunkEnd, parentNode, rootNode = 1 << 0, 1 << 1, 1 << 2, 1 << 3
)

var initial = chaining{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// chaining is a chaining value: what a chunk or a subtree comes to.
type chaining [8]uint32

// node is what is still to be compressed: of the last one alone it is known that it is the root.
type node struct {
	before  chaining
	words   [16]uint32
	counter uint64
	length  uint32
	flags   uint32
}

// hasher takes bytes piece by piece.
type hasher struct {
	chunk  chaining
	block  [blockSize]byte
	filled int
	blocks int
	chunks uint64
	// subtrees that are whole and not merged yet, the largest first.
	subtrees []chaining
}

func newHasher() *hasher { return &hasher{chunk: initial} }

// Write takes some bytes, always all of them.
func (h *hasher) Write(data []byte) (int, error) {
	length := len(data)
	for len(data) > 0 {
		// The last block of a chunk, and of all, has flags of its own: so one that is full waits
		// until it is known whether more follows.
		if h.filled == blockSize {
			last := h.last()
			h.chunk = last.compress()
			h.blocks++
			h.filled = 0
			if h.blocks == chunkBlocks {
				h.merge()
			}
		}
		taken := copy(h.block[h.filled:], data)
		h.filled += taken
		data = data[taken:]
	}
	return length, nil
}

// last is the chunk's present block.
func (h *hasher) last() node {
	clear(h.block[h.filled:])
	found := node{before: h.chunk, counter: h.chunks, length: uint32(h.filled)}
	for number := range found.words {
		found.words[number] = binary.LittleEndian.Uint32(h.block[4*number:])
	}
	if h.blocks == 0 {
		found.flags |= chunkStart
	}
	if h.blocks == chunkBlocks-1 {
		found.flags |= chunkEnd
	}
	return found
}

// merge puts a whole chunk with the subtrees before it that are as large as what it is part of.
func (h *hasher) merge() {
	whole := h.chunk
	h.chunks++
	for total := h.chunks; total&1 == 0; total >>= 1 {
		left := h.subtrees[len(h.subtrees)-1]
		h.subtrees = h.subtrees[:len(h.subtrees)-1]
		both := joined(left, whole)
		whole = both.compress()
	}
	h.subtrees = append(h.subtrees, whole)
	h.chunk, h.blocks = initial, 0
}

func joined(left, right chaining) node {
	found := node{before: initial, length: blockSize, flags: parentNode}
	copy(found.words[:8], left[:])
	copy(found.words[8:], right[:])
	return found
}

// digest is that of all that was taken, in hexadecimal digits.
func (h *hasher) digest() string {
	last := h.last()
	last.flags |= chunkEnd
	for number := len(h.subtrees) - 1; number >= 0; number-- {
		last = joined(h.subtrees[number], last.compress())
	}
	last.flags |= rootNode
	// Of a root the counter is that of the output's blocks. A chunk that is one is the first.
	said := []byte{}
	for _, word := range last.compress() {
		said = binary.LittleEndian.AppendUint32(said, word)
	}
	return hex.EncodeToString(said)
}

func quarter(a, b, c, d, x, y uint32) (uint32, uint32, uint32, uint32) {
	a += b + x
	d = bits.RotateLeft32(d^a, -16)
	c += d
	b = bits.RotateLeft32(b^c, -12)
	a += b + y
	d = bits.RotateLeft32(d^a, -8)
	c += d
	b = bits.RotateLeft32(b^c, -7)
	return a, b, c, d
}

// compress gives a node's chaining value. Each round takes the words in the order that the permutation
// brings them to; written out, it takes two thirds of the time that a loop with a table does.
func (n *node) compress() chaining {
	m := &n.words
	v0, v1, v2, v3 := n.before[0], n.before[1], n.before[2], n.before[3]
	v4, v5, v6, v7 := n.before[4], n.before[5], n.before[6], n.before[7]
	v8, v9, v10, v11 := initial[0], initial[1], initial[2], initial[3]
	v12, v13, v14, v15 := uint32(n.counter), uint32(n.counter>>32), n.length, n.flags
	v0, v4, v8, v12 = quarter(v0, v4, v8, v12, m[0], m[1])
	v1, v5, v9, v13 = quarter(v1, v5, v9, v13, m[2], m[3])
	v2, v6, v10, v14 = quarter(v2, v6, v10, v14, m[4], m[5])
	v3, v7, v11, v15 = quarter(v3, v7, v11, v15, m[6], m[7])
	v0, v5, v10, v15 = quarter(v0, v5, v10, v15, m[8], m[9])
	v1, v6, v11, v12 = quarter(v1, v6, v11, v12, m[10], m[11])
	v2, v7, v8, v13 = quarter(v2, v7, v8, v13, m[12], m[13])
	v3, v4, v9, v14 = quarter(v3, v4, v9, v14, m[14], m[15])
	v0, v4, v8, v12 = quarter(v0, v4, v8, v12, m[2], m[6])
	v1, v5, v9, v13 = quarter(v1, v5, v9, v13, m[3], m[10])
	v2, v6, v10, v14 = quarter(v2, v6, v10, v14, m[7], m[0])
	v3, v7, v11, v15 = quarter(v3, v7, v11, v15, m[4], m[13])
	v0, v5, v10, v15 = quarter(v0, v5, v10, v15, m[1], m[11])
	v1, v6, v11, v12 = quarter(v1, v6, v11, v12, m[12], m[5])
	v2, v7, v8, v13 = quarter(v2, v7, v8, v13, m[9], m[14])
	v3, v4, v9, v14 = quarter(v3, v4, v9, v14, m[15], m[8])
	v0, v4, v8, v12 = quarter(v0, v4, v8, v12, m[3], m[4])
	v1, v5, v9, v13 = quarter(v1, v5, v9, v13, m[10], m[12])
	v2, v6, v10, v14 = quarter(v2, v6, v10, v14, m[13], m[2])
	v3, v7, v11, v15 = quarter(v3, v7, v11, v15, m[7], m[14])
	v0, v5, v10, v15 = quarter(v0, v5, v10, v15, m[6], m[5])
	v1, v6, v11, v12 = quarter(v1, v6, v11, v12, m[9], m[0])
	v2, v7, v8, v13 = quarter(v2, v7, v8, v13, m[11], m[15])
	v3, v4, v9, v14 = quarter(v3, v4, v9, v14, m[8], m[1])
	v0, v4, v8, v12 = quarter(v0, v4, v8, v12, m[10], m[7])
	v1, v5, v9, v13 = quarter(v1, v5, v9, v13, m[12], m[9])
	v2, v6, v10, v14 = quarter(v2, v6, v10, v14, m[14], m[3])
	v3, v7, v11, v15 = quarter(v3, v7, v11, v15, m[13], m[15])
	v0, v5, v10, v15 = quarter(v0, v5, v10, v15, m[4], m[0])
	v1, v6, v11, v12 = quarter(v1, v6, v11, v12, m[11], m[2])
	v2, v7, v8, v13 = quarter(v2, v7, v8, v13, m[5], m[8])
	v3, v4, v9, v14 = quarter(v3, v4, v9, v14, m[1], m[6])
	v0, v4, v8, v12 = quarter(v0, v4, v8, v12, m[12], m[13])
	v1, v5, v9, v13 = quarter(v1, v5, v9, v13, m[9], m[11])
	v2, v6, v10, v14 = quarter(v2, v6, v10, v14, m[15], m[10])
	v3, v7, v11, v15 = quarter(v3, v7, v11, v15, m[14], m[8])
	v0, v5, v10, v15 = quarter(v0, v5, v10, v15, m[7], m[2])
	v1, v6, v11, v12 = quarter(v1, v6, v11, v12, m[5], m[3])
	v2, v7, v8, v13 = quarter(v2, v7, v8, v13, m[0], m[1])
	v3, v4, v9, v14 = quarter(v3, v4, v9, v14, m[6], m[4])
	v0, v4, v8, v12 = quarter(v0, v4, v8, v12, m[9], m[14])
	v1, v5, v9, v13 = quarter(v1, v5, v9, v13, m[11], m[5])
	v2, v6, v10, v14 = quarter(v2, v6, v10, v14, m[8], m[12])
	v3, v7, v11, v15 = quarter(v3, v7, v11, v15, m[15], m[1])
	v0, v5, v10, v15 = quarter(v0, v5, v10, v15, m[13], m[3])
	v1, v6, v11, v12 = quarter(v1, v6, v11, v12, m[0], m[10])
	v2, v7, v8, v13 = quarter(v2, v7, v8, v13, m[2], m[6])
	v3, v4, v9, v14 = quarter(v3, v4, v9, v14, m[4], m[7])
	v0, v4, v8, v12 = quarter(v0, v4, v8, v12, m[11], m[15])
	v1, v5, v9, v13 = quarter(v1, v5, v9, v13, m[5], m[0])
	v2, v6, v10, v14 = quarter(v2, v6, v10, v14, m[1], m[9])
	v3, v7, v11, v15 = quarter(v3, v7, v11, v15, m[8], m[6])
	v0, v5, v10, v15 = quarter(v0, v5, v10, v15, m[14], m[10])
	v1, v6, v11, v12 = quarter(v1, v6, v11, v12, m[2], m[12])
	v2, v7, v8, v13 = quarter(v2, v7, v8, v13, m[3], m[4])
	v3, v4, v9, v14 = quarter(v3, v4, v9, v14, m[7], m[13])
	return chaining{
		v0 ^ v8, v1 ^ v9, v2 ^ v10, v3 ^ v11, v4 ^ v12, v5 ^ v13, v6 ^ v14, v7 ^ v15,
	}
}
