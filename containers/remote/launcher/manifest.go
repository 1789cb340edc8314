package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// manifestStart is a tree manifest's first line.
const manifestStart = "sourcery-tree 1\n"

// entry is a file of a tree, or a folder.
type entry struct {
	path, digest       string
	size               int64
	executable, folder bool
}

// manifestDigest is the name that a tree has everywhere in this project (reproducibility/manifest.py,
// `Tree.serialize`), by what was found: files, and folders, of which only those that hold nothing are
// in a manifest. A test there has the same example.
func manifestDigest(entries []entry) string {
	filled := map[string]bool{}
	for _, one := range entries {
		filled[path.Dir(one.path)] = true
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	h := newHasher()
	io.WriteString(h, manifestStart)
	before := ""
	for _, one := range entries {
		switch {
		case one.folder && (filled[one.path] || one.path == before):
			continue // It was found, and was to be there anyhow.
		case one.folder:
			fmt.Fprintf(h, "d 0 - %s\n", one.path)
		case one.executable:
			fmt.Fprintf(h, "x %d %s %s\n", one.size, one.digest, one.path)
		default:
			fmt.Fprintf(h, "f %d %s %s\n", one.size, one.digest, one.path)
		}
		before = one.path
	}
	return h.digest()
}
