// Package kmodule loads kernel modules without a modprobe: it reads from the
// modules themselves what they depend on and which devices they drive
// (kernel, Documentation/kbuild/modules.rst; scripts/mod/modpost.c), so that an
// initramfs needs nothing but the module files.
package kmodule

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Module is what a module file says of itself. Names are in their canonical
// form, see Canonical.
type Module struct {
	Name    string
	Path    string
	Depends []string // modules whose symbols it uses
	Before  []string // softdep pre: wanted loaded before, where there is such a module
	After   []string // softdep post
	Aliases []string // patterns of the modaliases of devices that it drives
}

// Canonical gives the form of a module's name that the kernel uses: "-" and "_"
// are the same.
func Canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Read reads a module file, an ELF object that is not compressed.
func Read(path string) (Module, error) {
	name := Canonical(strings.TrimSuffix(filepath.Base(path), ".ko"))
	f, err := os.Open(path)
	if err != nil {
		return Module{}, err
	}
	defer f.Close()
	data, err := modinfoOf(f)
	if err != nil {
		return Module{}, fmt.Errorf("%s is no kernel module: %w", path, err)
	}
	m := Parse(data)
	m.Name, m.Path = name, path
	return m, nil
}

// Parse decodes the section .modinfo: "key=value" strings, each ended by one or
// more NUL. Keys that say nothing of loading are left out.
func Parse(modinfo []byte) Module {
	var m Module
	for field := range bytes.SplitSeq(modinfo, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "depends":
			for name := range strings.SplitSeq(value, ",") {
				if name = strings.TrimSpace(name); name != "" {
					m.Depends = append(m.Depends, Canonical(name))
				}
			}
		case "softdep":
			m.parseSoftdep(value)
		case "alias":
			m.Aliases = append(m.Aliases, value)
		}
	}
	return m
}

// parseSoftdep decodes "pre: a b post: c" (modprobe.d(5)).
func (m *Module) parseSoftdep(value string) {
	var list *[]string
	for word := range strings.FieldsSeq(value) {
		switch {
		case word == "pre:":
			list = &m.Before
		case word == "post:":
			list = &m.After
		case list != nil:
			*list = append(*list, Canonical(word))
		}
	}
}
