package install

import (
	"cmp"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// defaultDelay is how long a compilation may take before it is mentioned: a person
// does not notice less.
const defaultDelay = time.Second / 3

// A progress shows a message on a terminal, once some time has passed, and takes
// it away again at the end, or when the compiler has something to say. It is
// the writer that the compiler's words go through.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	timer *time.Timer // nil where no message is to be shown
	shown int         // characters of it that are on the terminal
	over  bool        // the message is not wanted any more
	full  fullDetector
}

func (in *Installer) startProgress(message string) *progress {
	p := &progress{out: in.Stderr}
	if in.Terminal {
		p.timer = time.AfterFunc(cmp.Or(in.delay, defaultDelay), func() { p.show(message) })
	}
	return p
}

func (p *progress) show(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.shown = utf8.RuneCountInString(message)
	io.WriteString(p.out, message)
}

// stop takes the message away for good.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

// erase removes the message, or keeps it from being shown. p.mu is held.
func (p *progress) erase() {
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.shown == 0 {
		return
	}
	// One by one: what stands before it, such as a question, is not ours.
	io.WriteString(p.out, strings.Repeat("\b \b", p.shown))
	p.shown = 0
}

func (p *progress) Write(words []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.full.see(words)
	return p.out.Write(words)
}

// saysFull reports whether the compiler's words were about a full file system.
func (p *progress) saysFull() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.full.found
}
