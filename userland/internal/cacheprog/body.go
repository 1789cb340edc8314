package cacheprog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A body reads the base64 text of one JSON string from the input, and ends
// where the string does. Base64 needs no escapes, and the go command writes
// none, so a backslash is passed on for the decoder to refuse.
type body struct {
	in    *bufio.Reader
	state bodyState
}

type bodyState int

const (
	beforeBody bodyState = iota
	insideBody
	afterBody
)

// newBody gives the body that follows a request. One of size 0 is not in the
// input at all.
func newBody(in *bufio.Reader, size int64) *body {
	if size == 0 {
		return &body{in, afterBody}
	}
	return &body{in, beforeBody}
}

func (b *body) Read(p []byte) (int, error) {
	if b.state == beforeBody {
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	if b.state == afterBody {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := b.in.Peek(1); err != nil {
		return 0, cut(err)
	}
	text, err := b.in.Peek(min(b.in.Buffered(), len(p)))
	if err != nil {
		return 0, cut(err)
	}
	if end := bytes.IndexByte(text, '"'); end >= 0 {
		n := copy(p, text[:end])
		b.state = afterBody
		if _, err := b.in.Discard(n + 1); err != nil {
			return n, cut(err)
		}
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	n := copy(p, text)
	if _, err := b.in.Discard(n); err != nil {
		return n, cut(err)
	}
	return n, nil
}

// open takes the quotation mark that begins the string.
func (b *body) open() error {
	for {
		c, err := b.in.ReadByte()
		if err != nil {
			return cut(err)
		}
		switch c {
		case ' ', '\t', '\r', '\n':
		case '"':
			b.state = insideBody
			return nil
		default:
			return fmt.Errorf("%w: found %q where it should begin", errBody, c)
		}
	}
}

// errBody says that the body of a request cannot be found in the input, so that
// the place where the next request begins is unknown too.
var errBody = errors.New("body of a request")

func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errBody, ErrGone)
	}
	return fmt.Errorf("%w: %w", errBody, err)
}

// drain reads to the end of the string, whatever is in it, so that the next
// request can be read.
func (b *body) drain() error {
	_, err := io.Copy(io.Discard, b)
	return err
}
