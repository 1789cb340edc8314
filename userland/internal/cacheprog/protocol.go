// Package cacheprog speaks the go command's GOCACHEPROG protocol: it reads
// requests, has a [Handler] answer them, and writes the responses. What a cache
// is, and where it keeps things, is not known here.
//
// The protocol is documented in cmd/go/internal/cacheprog. In short: the helper
// first writes a response with ID 0 that lists the commands it knows. Then the
// go command writes requests, each one JSON object on a line of its own, and
// the helper answers each with one JSON object, in any order. The object of a
// "put" whose BodySize is not zero is followed by a line with the body as a
// base64-encoded JSON string.
package cacheprog

import "sourcery/userland/internal/object"

// A Command is the name of a request.
type Command string

// The commands of Go 1.24 and later.
const (
	Get   Command = "get"
	Put   Command = "put"
	Close Command = "close"
)

// request is the JSON object that the go command sends; []byte is base64.
type request struct {
	ID       int64
	Command  Command
	ActionID []byte
	OutputID []byte
	BodySize int64
}

// response is the JSON object that answers it.
type response struct {
	ID            int64     // of the request, 0 for the greeting
	Err           string    `json:",omitempty"`
	KnownCommands []Command `json:",omitempty"` // only in the greeting
	Miss          bool      `json:",omitempty"`
	OutputID      []byte    `json:",omitempty"`
	Size          int64     `json:",omitempty"` // bytes
	DiskPath      string    `json:",omitempty"` // absolute
}

// An Entry is what a cache knows of an action.
type Entry struct {
	Output   object.ID
	Size     int64  // bytes
	DiskPath string // absolute path of a file with the output
}
