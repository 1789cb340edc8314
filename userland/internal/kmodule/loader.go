package kmodule

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"
)

// A Loader loads modules from one directory, each once, those first that it
// depends on. It is not safe for concurrent use.
type Loader struct {
	// Insert puts one module into the kernel.
	Insert func(path string) error

	modules map[string]Module
	drivers map[string][]driver // by the bus, the part of an alias before ":"
	tried   map[string]bool
	loaded  []string
	failed  []error
}

type driver struct{ pattern, module string }

// Open reads all modules (*.ko) in a directory. The errors are about files that
// are none.
func Open(dir string) (*Loader, []error) {
	l := &Loader{
		Insert:  insert,
		modules: make(map[string]Module),
		drivers: make(map[string][]driver),
		tried:   make(map[string]bool),
	}
	var mistakes []error
	entries, err := os.ReadDir(dir)
	if err != nil {
		mistakes = append(mistakes, err)
	}
	for _, entry := range entries { // sorted by name
		if !strings.HasSuffix(entry.Name(), ".ko") {
			continue
		}
		m, err := Read(filepath.Join(dir, entry.Name()))
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		l.modules[m.Name] = m
		for _, alias := range m.Aliases {
			bus, _, _ := strings.Cut(alias, ":")
			l.drivers[bus] = append(l.drivers[bus], driver{alias, m.Name})
		}
	}
	return l, mistakes
}

// Names gives the modules of the directory, sorted.
func (l *Loader) Names() []string {
	names := make([]string, 0, len(l.modules))
	for name := range l.modules {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Loaded gives the modules that are in the kernel now, in the order of loading.
func (l *Loader) Loaded() []string { return slices.Clone(l.loaded) }

// Failures gives an error for each module that could not be loaded, with its
// name. That a driver has found no device is none.
func (l *Loader) Failures() []error { return slices.Clone(l.failed) }

// Load loads a module with all it depends on, where it has not been tried yet.
// A name that is not there may be part of the kernel itself, and is passed over.
func (l *Loader) Load(name string) {
	m, found := l.modules[Canonical(name)]
	if !found || l.tried[m.Name] {
		return
	}
	l.tried[m.Name] = true // before its dependencies, which may be in a circle
	for _, list := range [][]string{m.Depends, m.Before} {
		for _, needed := range list {
			l.Load(needed)
		}
	}
	switch err := l.Insert(m.Path); {
	case err == nil, errors.Is(err, syscall.EEXIST):
		l.loaded = append(l.loaded, m.Name)
	case errors.Is(err, syscall.ENODEV): // there is no such hardware
	default:
		l.failed = append(l.failed, fmt.Errorf("module %s: %w", m.Name, err))
	}
	for _, wanted := range m.After {
		l.Load(wanted)
	}
}

// LoadFor loads the drivers of a device by its modalias.
func (l *Loader) LoadFor(modalias string) {
	bus, _, _ := strings.Cut(modalias, ":")
	for _, d := range l.drivers[bus] {
		if !l.tried[d.module] && Match(d.pattern, modalias) {
			l.Load(d.module)
		}
	}
}

// insert is finit_module(2), which package syscall does not have.
func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	parameters := []byte{0}
	_, _, errno := syscall.Syscall(finitModule, f.Fd(), uintptr(unsafe.Pointer(&parameters[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// finitModule is the number of finit_module: amd64 has numbers of its own
// (arch/x86/entry/syscalls/syscall_64.tbl), the others share theirs
// (include/uapi/asm-generic/unistd.h).
var finitModule = map[bool]uintptr{true: 313, false: 273}[runtime.GOARCH == "amd64"]
