package words

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                      nil,
		" \t\n":                 nil,
		"ls":                    {"ls"},
		"  ls  -l\t/ ":          {"ls", "-l", "/"},
		`gosh -c 'ls | wc -l'`:  {"gosh", "-c", "ls | wc -l"},
		`echo "a b"c'd e'`:      {"echo", "a bcd e"},
		`echo '' ""`:            {"echo", "", ""},
		`echo a\ b \\ \' "\""`:  {"echo", "a b", `\`, "'", `"`},
		`echo '\'`:              {"echo", `\`},
		`echo "it's" 'say "x"'`: {"echo", "it's", `say "x"`},
		"größe ü":               {"größe", "ü"},
	} {
		got, err := Split(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Split(%q) = %q, %v; want %q", line, got, err, want)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, line := range []string{"'", `a "b`, `a\`, `'a' "b'`} {
		if got, err := Split(line); !errors.Is(err, ErrQuote) {
			t.Errorf("Split(%q) = %q, %v", line, got, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("echo", "a b", "it's")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		want := []string{a, b, c}
		quoted := make([]string, len(want))
		for i, w := range want {
			quoted[i] = "'" + strings.ReplaceAll(strings.ToValidUTF8(w, "?"), "'", `'\''`) + "'"
			want[i] = strings.ToValidUTF8(w, "?")
		}
		got, err := Split(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Split = %q, %v; want %q", got, err, want)
		}
	})
}
