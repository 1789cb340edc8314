package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// As in containers/outputs.py: far more than a tree needs, and far less than the kernel takes.
const (
	deepest = 200
	longest = 2048
)

// outputs takes declared outputs out of a work directory that nothing changes any more, following
// no link that the action left.
type outputs struct {
	work, into  string
	files, size int64
}

// exceeded says which limit the outputs exceed.
type exceeded struct{ limit string }

func (e *exceeded) Error() string { return "the outputs exceed the limit " + e.limit }

// unkept is an output that no tree can hold.
type unkept struct{ Unkept }

func (u *unkept) Error() string { return u.Path + ": " + u.Reason }

// take copies all of them, or none where they are too many, too large, or cannot be kept.
func (o *outputs) take(wanted []string) error {
	present := []string{}
	for _, output := range outermost(wanted) {
		if !o.reachable(output) {
			continue
		}
		present = append(present, output)
		if err := o.measure(output); err != nil {
			return err
		}
	}
	for _, output := range present {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(o.into, output)), 0o755); err != nil {
			return err
		}
		if err := o.copy(output); err != nil {
			return err
		}
	}
	return nil
}

// outermost gives the outputs that do not lie in another one.
func outermost(wanted []string) []string {
	found := []string{}
	for _, output := range slices.Sorted(slices.Values(wanted)) {
		if !slices.ContainsFunc(found, func(other string) bool {
			return output == other || strings.HasPrefix(output, other+"/")
		}) {
			found = append(found, output)
		}
	}
	return found
}

// reachable tells whether there is such an output, without a link on the way to it.
func (o *outputs) reachable(output string) bool {
	parts := strings.Split(output, "/")
	place := o.work
	for number, part := range parts {
		place = filepath.Join(place, part)
		found, err := os.Lstat(place)
		if err != nil || (number < len(parts)-1 && !found.IsDir()) {
			return false
		}
	}
	return true
}

// measure counts what lies at a place and below it, and looks at whether it can be kept.
func (o *outputs) measure(name string) error {
	if !utf8.ValidString(name) {
		return &unkept{Unkept{fmt.Sprintf("%q", name), "its name is not UTF-8"}}
	}
	shown := strings.ToValidUTF8(name[:min(len(name), 200)], "")
	if strings.Count(name, "/") > deepest {
		return &unkept{Unkept{shown, fmt.Sprintf("folders that are nested more than %d deep", deepest)}}
	}
	if len(name) > longest {
		return &unkept{Unkept{shown, fmt.Sprintf("paths of more than %d bytes", longest)}}
	}
	found, err := os.Lstat(filepath.Join(o.work, name))
	if err != nil {
		return err
	}
	o.files--
	if found.Mode().IsRegular() {
		o.size -= found.Size()
	}
	if o.size < 0 {
		return &exceeded{"work"}
	}
	if o.files < 0 {
		return &exceeded{"files"}
	}
	if found.Mode().IsRegular() {
		return nil
	}
	if !found.IsDir() {
		return &unkept{Unkept{name, "neither a file nor a directory"}}
	}
	names, err := entries(filepath.Join(o.work, name))
	if err != nil {
		return err
	}
	for _, inner := range names {
		if err := o.measure(name + "/" + inner); err != nil {
			return err
		}
	}
	return nil
}

func entries(folder string) ([]string, error) {
	// An action may have closed its own folders.
	if err := os.Chmod(folder, 0o700); err != nil {
		return nil, err
	}
	opened, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	names, err := opened.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func (o *outputs) copy(name string) error {
	from, to := filepath.Join(o.work, name), filepath.Join(o.into, name)
	found, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if found.IsDir() {
		if err := os.Mkdir(to, 0o755); err != nil && !os.IsExist(err) {
			return err
		}
		names, err := entries(from)
		if err != nil {
			return err
		}
		for _, inner := range names {
			if err := o.copy(name + "/" + inner); err != nil {
				return err
			}
		}
		return os.Chmod(to, 0o755)
	}
	if err := os.Chmod(from, found.Mode().Perm()|0o400); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	sink, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer sink.Close()
	if _, err := io.Copy(sink, source); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if found.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return sink.Chmod(mode)
}
