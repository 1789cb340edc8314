package kmodule

import "strings"

// Match reports whether a device's modalias matches a module's alias, a pattern
// with *, ? and [ranges] as in fnmatch(3). As for modprobe, "-" and "_" are the
// same outside of brackets.
func Match(pattern, modalias string) bool {
	// Where the last * was, and what it stands for so far: if the rest does not
	// match, it stands for one byte more.
	star, retry := -1, 0
	p, s := 0, 0
	for s < len(modalias) {
		if p < len(pattern) && pattern[p] == '*' {
			star, retry = p, s
			p++
			continue
		}
		if width := matchOne(pattern[p:], modalias[s]); width > 0 {
			p += width
			s++
			continue
		}
		if star < 0 {
			return false
		}
		retry++
		p, s = star+1, retry
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne gives the length of the pattern's first element if it matches c, else 0.
func matchOne(pattern string, c byte) int {
	if pattern == "" {
		return 0
	}
	switch pattern[0] {
	case '?':
		return 1
	case '[':
		// A bracket that comes first in a set is a member of it.
		end := strings.IndexByte(pattern[min(2, len(pattern)):], ']') + 2
		if end < 2 {
			break // not closed: an ordinary character
		}
		if inSet(pattern[1:end], c) {
			return end + 1
		}
		return 0
	}
	if same(pattern[0]) == same(c) {
		return 1
	}
	return 0
}

// inSet reports whether c is in a set like "0-9a-f" or "!x".
func inSet(set string, c byte) bool {
	negated := set[0] == '!' || set[0] == '^'
	if negated {
		set = set[1:]
	}
	for i := 0; i < len(set); i++ {
		low, high := set[i], set[i]
		if i+2 < len(set) && set[i+1] == '-' {
			high = set[i+2]
			i += 2
		}
		if low <= c && c <= high {
			return !negated
		}
	}
	return negated
}

func same(c byte) byte {
	if c == '-' {
		return '_'
	}
	return c
}
