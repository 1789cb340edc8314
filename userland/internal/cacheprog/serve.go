package cacheprog

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"sourcery/userland/internal/object"
	"sourcery/userland/internal/seed"
)

// A Handler is a cache. Get may be called by several goroutines at once, also
// while Put runs; Put by one at a time; Close once, when all else is done.
type Handler interface {
	// Get gives the entry of an action, and false where there is none.
	Get(seed.ActionID) (Entry, bool, error)
	// Put stores size bytes of body as the output of an action, and gives the
	// absolute path of the file that holds them. It need not read all of body.
	Put(action seed.ActionID, output object.ID, size int64, body io.Reader) (diskPath string, err error)
	// Close finishes the cache's work before the go command goes on to its end.
	Close() error
}

// ErrGone says that the go command has gone in the middle of a request.
var ErrGone = errors.New("the go command has gone")

// A Server answers the requests of one go command.
type Server struct {
	Handler  Handler
	Commands []Command // that the handler can do
	Parallel int       // gets that are answered at the same time, at least 1

	mu     sync.Mutex // guards out and outErr
	out    io.Writer
	outErr error
}

// maxLine bounds the line of a request, in bytes. The longest that the go
// command writes are some 200.
const maxLine = 64 << 10

// Serve reads requests until one of them is "close", and returns when that is
// answered, or until there are no more: the go command closes its cache only
// after it has built something (work.Builder.Do in cmd/go), so this is the
// ordinary end of a "go list". Errors of the handler go to the go command; an
// error that Serve returns ends the conversation.
func (s *Server) Serve(in io.Reader, out io.Writer) error {
	s.out = out
	s.respond(response{KnownCommands: s.Commands})

	gets := make(chan request)
	var workers sync.WaitGroup
	for range max(1, s.Parallel) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for q := range gets {
				s.respond(s.get(q))
			}
		}()
	}
	last, err := s.read(bufio.NewReaderSize(in, maxLine), gets)
	close(gets)
	workers.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	reply := response{ID: last.ID}
	if err := s.Handler.Close(); err != nil {
		reply.Err = err.Error()
	}
	s.respond(reply)
	return s.broken()
}

// read handles requests up to "close", which it gives; io.EOF means that there
// was none. Gets it only hands on, since their files have to be read to the end;
// the body of a put is part of the input, so it has to be taken from there
// before the next request.
func (s *Server) read(in *bufio.Reader, gets chan<- request) (request, error) {
	for {
		q, err := readRequest(in)
		if err != nil {
			return q, err
		}
		if err := s.broken(); err != nil {
			return q, err
		}
		switch q.Command {
		case Close:
			return q, nil
		case Get:
			gets <- q
		case Put:
			reply, err := s.put(q, in)
			if err != nil {
				return q, err
			}
			s.respond(reply)
		default:
			// Whatever it is, its body (if it has one) is where that of a put is.
			if err := newBody(in, q.BodySize).drain(); err != nil {
				return q, err
			}
			s.respond(response{ID: q.ID, Err: fmt.Sprintf("unknown command %q", q.Command)})
		}
	}
}

func (s *Server) get(q request) response {
	action, err := actionID(q.ActionID)
	if err != nil {
		return response{ID: q.ID, Err: err.Error()}
	}
	entry, found, err := s.Handler.Get(action)
	if err != nil {
		return response{ID: q.ID, Err: err.Error()}
	}
	if !found {
		return response{ID: q.ID, Miss: true}
	}
	return response{ID: q.ID, OutputID: entry.Output[:], Size: entry.Size, DiskPath: entry.DiskPath}
}

// put answers a put. Its error is about the input, which cannot be read any
// further then.
func (s *Server) put(q request, in *bufio.Reader) (response, error) {
	body := newBody(in, q.BodySize)
	path, err := s.store(q, body)
	if drainErr := body.drain(); drainErr != nil {
		return response{}, drainErr
	}
	if err != nil {
		return response{ID: q.ID, Err: err.Error()}, nil
	}
	return response{ID: q.ID, DiskPath: path}, nil
}

func (s *Server) store(q request, body io.Reader) (string, error) {
	action, err := actionID(q.ActionID)
	if err != nil {
		return "", err
	}
	if len(q.OutputID) != len(object.ID{}) {
		return "", fmt.Errorf("output ID has %d bytes, not %d", len(q.OutputID), len(object.ID{}))
	}
	if q.BodySize < 0 {
		return "", fmt.Errorf("body size %d is negative", q.BodySize)
	}
	return s.Handler.Put(action, object.ID(q.OutputID), q.BodySize, base64.NewDecoder(base64.StdEncoding, body))
}

// respond writes one response. The first failure is kept: the go command is
// gone then, and what was to be said has nobody to hear it.
func (s *Server) respond(r response) {
	line, err := json.Marshal(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.outErr == nil {
		_, err = s.out.Write(append(line, '\n'))
	}
	if err != nil && s.outErr == nil {
		s.outErr = fmt.Errorf("%w: writing a response: %w", ErrGone, err)
	}
}

func (s *Server) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outErr
}

func actionID(b []byte) (seed.ActionID, error) {
	if len(b) != len(seed.ActionID{}) {
		return seed.ActionID{}, fmt.Errorf("action ID has %d bytes, not %d", len(b), len(seed.ActionID{}))
	}
	return seed.ActionID(b), nil
}

// readRequest gives the next request, and io.EOF where there is none. The go
// command separates them by empty lines.
func readRequest(in *bufio.Reader) (request, error) {
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return request{}, fmt.Errorf("request: line longer than %d bytes", maxLine)
		case errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) == 0:
			return request{}, io.EOF
		case errors.Is(err, io.EOF):
			return request{}, ErrGone
		case err != nil:
			return request{}, fmt.Errorf("request: %w", err)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var q request
		if err := json.Unmarshal(line, &q); err != nil {
			return request{}, fmt.Errorf("request: %w", err)
		}
		return q, nil
	}
}
