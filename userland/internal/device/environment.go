package device

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An Environment is the set of variables that every build on the device needs,
// to be seen by the go command as it was seen when the seed was made: with
// another GOFLAGS, say, no action ID is the same and nothing is found.
//
// The file /linux_<arch>/environment has one KEY=VALUE on each line. A value
// reaches to the end of the line and is taken as it is, without quotes. Empty
// lines and lines that begin with # say nothing. No key is set twice.
type Environment struct {
	pairs []string // "KEY=VALUE", in the order of the file
}

// ReadEnvironment reads the device's environment file.
func ReadEnvironment(l Layout) (Environment, error) {
	path := filepath.Join(l.Platform(), "environment")
	data, err := os.ReadFile(path)
	if err != nil {
		return Environment{}, fmt.Errorf("environment for builds: %w", err)
	}
	e, err := ParseEnvironment(data)
	if err != nil {
		return Environment{}, fmt.Errorf("environment for builds: %s: %w", path, err)
	}
	return e, nil
}

// ParseEnvironment decodes an environment file. Errors name the line.
func ParseEnvironment(data []byte) (Environment, error) {
	var e Environment
	seen := make(map[string]int)
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSuffix(string(line), "\n")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		key, value, found := strings.Cut(text, "=")
		switch {
		case !found:
			return Environment{}, fmt.Errorf("line %d: %q is not KEY=VALUE", number, text)
		case !isName(key):
			return Environment{}, fmt.Errorf("line %d: %q is not the name of a variable", number, key)
		case strings.ContainsAny(value, "\x00\r"):
			return Environment{}, fmt.Errorf("line %d: the value of %s contains a NUL or carriage return", number, key)
		case seen[key] != 0:
			return Environment{}, fmt.Errorf("line %d: %s is set on line %d already", number, key, seen[key])
		}
		seen[key] = number
		e.pairs = append(e.pairs, text)
	}
	return e, nil
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && (i == 0 || !digit) {
			return false
		}
	}
	return s != ""
}

// Get gives the value of a variable, "" where it is not set.
func (e Environment) Get(key string) string {
	for _, pair := range e.pairs {
		if k, value, _ := strings.Cut(pair, "="); k == key {
			return value
		}
	}
	return ""
}

// With gives a copy in which a variable is set.
func (e Environment) With(key, value string) Environment {
	pair := key + "=" + value
	pairs := make([]string, 0, len(e.pairs)+1)
	for _, old := range e.pairs {
		if k, _, _ := strings.Cut(old, "="); k != key {
			pairs = append(pairs, old)
		}
	}
	return Environment{append(pairs, pair)}
}

// Pairs gives the variables as exec wants them. The caller may change the slice.
func (e Environment) Pairs() []string {
	return append([]string(nil), e.pairs...)
}
