// Package words splits a line of text into words, with the quotes of the POSIX
// shell and nothing else of it: no variables, no patterns, no pipes.
package words

import (
	"errors"
	"strings"
)

// ErrQuote says that a quotation, or an escape, has no end.
var ErrQuote = errors.New("quotation without an end")

// Split gives the words of a line. Blanks separate them; text in single quotes
// stands for itself; in double quotes, and outside of quotes, a backslash takes
// the special meaning from the character after it. (In double quotes a shell
// keeps some backslashes; here none is kept.)
func Split(line string) ([]string, error) {
	var list []string
	var word strings.Builder
	inWord := false // '' is a word too
	var quote rune
	escaped := false
	for _, c := range line {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case strings.ContainsRune(" \t\r\n", c):
			if inWord {
				list = append(list, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, ErrQuote
	}
	if inWord {
		list = append(list, word.String())
	}
	return list, nil
}
