package cacheprog

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"sourcery/userland/internal/object"
	"sourcery/userland/internal/seed"
)

// memory is a cache of bodies.
type memory struct {
	mu     sync.Mutex
	bodies map[seed.ActionID]string
	getErr error
	putErr error
	hold   chan struct{} // if not nil, gets wait for it
	closed int
}

func (m *memory) Get(a seed.ActionID) (Entry, bool, error) {
	if m.hold != nil {
		<-m.hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	body, found := m.bodies[a]
	return Entry{Output: sha256.Sum256([]byte(body)), Size: int64(len(body)), DiskPath: "/disk/" + a.String()}, found, m.getErr
}

func (m *memory) Put(a seed.ActionID, _ object.ID, _ int64, body io.Reader) (string, error) {
	if m.putErr != nil {
		return "", m.putErr // with the body unread, as when a disk is full
	}
	data, err := io.ReadAll(body)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies[a] = string(data)
	return "/disk/" + a.String(), err
}

func (m *memory) Close() error { m.closed++; return nil }

func action(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// script writes requests as the go command does (cmd/go/internal/cache/prog.go).
type script struct{ bytes.Buffer }

func (s *script) request(q request, body string) {
	if err := json.NewEncoder(s).Encode(q); err != nil {
		panic(err)
	}
	s.WriteByte('\n')
	if q.BodySize > 0 {
		fmt.Fprintf(s, "\"%s\"\n", base64.StdEncoding.EncodeToString([]byte(body)))
	}
}

func (s *script) put(id int64, a byte, body string) {
	output := sha256.Sum256([]byte(body))
	s.request(request{ID: id, Command: Put, ActionID: action(a), OutputID: output[:], BodySize: int64(len(body))}, body)
}

func (s *script) get(id int64, a byte) {
	s.request(request{ID: id, Command: Get, ActionID: action(a)}, "")
}

func (s *script) close(id int64) { s.request(request{ID: id, Command: Close}, "") }

// serve runs the script and gives the responses by ID.
func serve(t *testing.T, h Handler, in io.Reader) (map[int64]response, error) {
	t.Helper()
	var out bytes.Buffer
	server := &Server{Handler: h, Commands: []Command{Get, Put, Close}, Parallel: 2}
	err := server.Serve(in, &out)
	responses := make(map[int64]response)
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		var r response
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("response %q: %v", lines.Text(), err)
		}
		if _, twice := responses[r.ID]; twice {
			t.Errorf("two responses with ID %d", r.ID)
		}
		responses[r.ID] = r
	}
	return responses, err
}

func newMemory() *memory { return &memory{bodies: make(map[seed.ActionID]string)} }

func TestConversation(t *testing.T) {
	m := newMemory()
	long := strings.Repeat("0123456789", 50_000)
	var s script
	s.put(1, 1, "short")
	s.put(2, 2, "")
	s.put(3, 3, long)
	s.get(4, 1)
	s.get(5, 9)
	s.close(6)
	got, err := serve(t, m, &s)
	if err != nil {
		t.Fatal(err)
	}
	if k := got[0].KnownCommands; fmt.Sprint(k) != "[get put close]" {
		t.Errorf("greeting lists %v", k)
	}
	for i, want := range map[byte]string{1: "short", 2: "", 3: long} {
		if body := m.bodies[seed.ActionID(action(i))]; body != want {
			t.Errorf("body %d: %d bytes, want %d", i, len(body), len(want))
		}
		if r := got[int64(i)]; r.Err != "" || r.DiskPath == "" {
			t.Errorf("put %d: %+v", i, r)
		}
	}
	output := sha256.Sum256([]byte("short"))
	if r := got[4]; r.Miss || !bytes.Equal(r.OutputID, output[:]) || r.Size != 5 || r.DiskPath == "" {
		t.Errorf("get of a hit: %+v", r)
	}
	if r := got[5]; !r.Miss || r.Err != "" {
		t.Errorf("get of a miss: %+v", r)
	}
	if r, found := got[6]; !found || r.Err != "" || m.closed != 1 {
		t.Errorf("close: %+v, closed %d times", r, m.closed)
	}
}

// After a request that fails, the next one must be found where it begins.
func TestErrorsAreAnsweredOneByOne(t *testing.T) {
	m := newMemory()
	var s script
	output := sha256.Sum256([]byte("body"))
	s.request(request{ID: 1, Command: Get, ActionID: []byte("short")}, "")
	s.request(request{ID: 2, Command: Put, ActionID: []byte("short"), OutputID: output[:], BodySize: 4}, "body")
	s.request(request{ID: 3, Command: Put, ActionID: action(3), OutputID: []byte("short"), BodySize: 4}, "body")
	s.request(request{ID: 4, Command: Put, ActionID: action(4), OutputID: output[:], BodySize: -4}, "")
	s.WriteString("\"Ym9keQ==\"\n")
	s.request(request{ID: 5, Command: "get2", ActionID: action(5)}, "")
	s.request(request{ID: 6, Command: "put2", ActionID: action(6), BodySize: 4}, "body")
	s.request(request{ID: 7, Command: Put, ActionID: action(7), OutputID: output[:], BodySize: 4}, "")
	s.Truncate(s.Len() - len("\"\"\n"))
	s.WriteString("\"***!\"\n") // not base64
	s.put(8, 8, "good")
	s.close(9)
	got, err := serve(t, m, &s)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[int64]string{
		1: "action ID has 5 bytes", 2: "action ID has 5 bytes", 3: "output ID has 5 bytes",
		4: "negative", 5: `unknown command "get2"`, 6: `unknown command "put2"`, 7: "illegal base64",
	} {
		if !strings.Contains(got[id].Err, want) {
			t.Errorf("request %d: error %q, want %q", id, got[id].Err, want)
		}
	}
	if got[8].Err != "" || m.bodies[seed.ActionID(action(8))] != "good" {
		t.Errorf("the good request after them: %+v", got[8])
	}
}

func TestHandlerErrors(t *testing.T) {
	m := newMemory()
	m.getErr, m.putErr = errors.New("get broke"), errors.New("disk full")
	var s script
	s.put(1, 1, strings.Repeat("unread ", 100_000))
	s.get(2, 1)
	s.close(3)
	got, err := serve(t, m, &s)
	if err != nil {
		t.Fatal(err)
	}
	if got[1].Err != "disk full" || got[2].Err != "get broke" || got[3].Err != "" {
		t.Errorf("responses: %+v", got)
	}
}

func TestGetsAreAnsweredOutOfOrder(t *testing.T) {
	m := newMemory()
	m.hold = make(chan struct{})
	in, requests := io.Pipe()
	responses, out := io.Pipe()
	done := make(chan error)
	go func() {
		server := &Server{Handler: m, Commands: []Command{Get, Put, Close}, Parallel: 2}
		done <- server.Serve(in, out)
	}()
	lines := json.NewDecoder(responses)
	next := func() int64 {
		var r response
		if err := lines.Decode(&r); err != nil {
			t.Error(err)
		}
		return r.ID
	}
	var s script
	s.get(1, 1)
	s.put(2, 2, "body")
	s.close(3)
	go requests.Write(s.Bytes())
	if id := next(); id != 0 {
		t.Fatalf("first response has ID %d", id)
	}
	if id := next(); id != 2 {
		t.Fatalf("response %d while the get is held up, want 2", id)
	}
	close(m.hold)
	if id := next(); id != 1 {
		t.Errorf("response %d, want 1", id)
	}
	if id := next(); id != 3 {
		t.Errorf("response %d, want 3, after all others", id)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEnds(t *testing.T) {
	var whole script
	whole.get(1, 1)
	var put script
	put.put(1, 1, strings.Repeat("body", 1000))
	tests := []struct {
		name string
		in   string
		want error
	}{
		{"no request", "", nil},
		{"after a request", whole.String(), nil},
		{"inside a request", whole.String()[:20], ErrGone},
		{"before the body", `{"ID":1,"Command":"put","BodySize":5}` + "\n", ErrGone},
		{"inside the body", put.String()[:put.Len()-100], ErrGone},
		{"no string after a put", `{"ID":1,"Command":"put","BodySize":5}` + "\n{}", errBody},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMemory()
			_, err := serve(t, m, strings.NewReader(test.in))
			if !errors.Is(err, test.want) {
				t.Errorf("Serve = %v, want %v", err, test.want)
			}
			if m.closed != 0 {
				t.Error("the cache was closed")
			}
		})
	}
}

func TestBadInputIsRefused(t *testing.T) {
	for name, in := range map[string]string{
		"not JSON":      "hello\n",
		"endless line":  strings.Repeat("x", 2*maxLine),
		"ID not number": `{"ID":"one","Command":"get"}` + "\n",
	} {
		if _, err := serve(t, newMemory(), strings.NewReader(in)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestNobodyListens(t *testing.T) {
	var s script
	s.get(1, 1)
	s.close(2)
	m := newMemory()
	err := (&Server{Handler: m, Commands: []Command{Get}}).Serve(&s, brokenPipe{})
	if !errors.Is(err, ErrGone) || m.closed != 0 {
		t.Errorf("Serve = %v, closed %d times", err, m.closed)
	}
}

func FuzzServe(f *testing.F) {
	var s script
	s.put(1, 1, "body")
	s.get(2, 1)
	s.close(3)
	f.Add(s.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		(&Server{Handler: newMemory(), Commands: []Command{Get, Put, Close}}).Serve(bytes.NewReader(in), &out)
	})
}
