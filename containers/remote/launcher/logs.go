package main

import (
	"fmt"
	"io"
)

const (
	// What of a log's end is held back, to write a notice there: as long as the longest notice.
	noticeRoom = 80
	tailRoom   = 2000
)

// log hands on the first bytes of a stream, and says at its end how much there was of it where that
// was more than the limit.
type log struct {
	sink  io.Writer
	limit int64
	seen  int64
	held  []byte
	// tail is the last that was said, for the words of an error.
	tail []byte
}

// readAll takes everything from a stream until its end.
func (l *log) readAll(stream io.Reader) {
	piece := make([]byte, 1<<16)
	for {
		count, err := stream.Read(piece)
		l.take(piece[:count])
		if err != nil {
			return
		}
	}
}

func (l *log) take(data []byte) {
	l.tail = append(l.tail, data...)
	l.tail = l.tail[max(0, len(l.tail)-tailRoom):]
	room := max(0, l.limit-l.seen)
	l.seen += int64(len(data))
	l.held = append(l.held, data[:min(int64(len(data)), room)]...)
	if over := len(l.held) - noticeRoom; over > 0 {
		l.sink.Write(l.held[:over])
		l.held = append([]byte{}, l.held[over:]...)
	}
}

func (l *log) close() {
	if l.seen > l.limit {
		notice := []byte(fmt.Sprintf("\n[cut at %d of %d bytes]\n", l.limit, l.seen))
		notice = notice[:min(int64(len(notice)), l.limit)]
		l.held = append(l.held[:max(0, len(l.held)-len(notice))], notice...)
	}
	l.sink.Write(l.held)
}
