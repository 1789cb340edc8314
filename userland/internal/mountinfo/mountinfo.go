// Package mountinfo asks the kernel what is mounted.
package mountinfo

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A Mount is a mounted file system, or a part of one.
type Mount struct {
	Path string // where it is mounted, as this process sees it
	Kind string // like "tmpfs"
}

// Read gives what is mounted, in order of mounting.
func Read() ([]Mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("asking what is mounted: %w", err)
	}
	return Parse(string(data)), nil
}

// Has reports whether something is mounted on path. Where /proc is not mounted
// the answer is no.
func Has(path string) bool {
	list, err := Read()
	if err != nil {
		return false
	}
	for _, m := range list {
		if m.Path == path {
			return true
		}
	}
	return false
}

// Parse decodes /proc/self/mountinfo (proc_pid_mountinfo(5)), with lines like
// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw". Lines that do
// not look like this are left out.
func Parse(text string) []Mount {
	var list []Mount
	for line := range strings.Lines(text) {
		before, after, found := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if found && len(fields) >= 6 && len(kind) >= 1 {
			list = append(list, Mount{Path: unescape(fields[4]), Kind: kind[0]})
		}
	}
	return list
}

// unescape decodes the kernel's octal escapes, like \040 for a space.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
