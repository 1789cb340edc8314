package device

import (
	"slices"
	"strings"
	"testing"
)

func FuzzParseEnvironment(f *testing.F) {
	for _, seed := range []string{
		"", "# a comment\nPATH=/bin\nGOFLAGS=-mod=vendor\n", "A=1\nA=2\n", "A", "=b\n", "A=\x00\n", "1A=b",
		"_=\n\nB=\r\n", "A=\xff\n", "A=b=c",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEnvironment(data)
		if err != nil {
			return
		}
		for _, pair := range e.Pairs() {
			key, value, found := strings.Cut(pair, "=")
			if !found || key == "" || strings.ContainsAny(pair, "\x00\r\n") || e.Get(key) != value {
				t.Fatalf("pair %q", pair)
			}
		}
		again, err := ParseEnvironment([]byte(strings.Join(e.Pairs(), "\n")))
		if err != nil || !slices.Equal(again.Pairs(), e.Pairs()) {
			t.Fatalf("%q does not read back: %v", e.Pairs(), err)
		}
	})
}
