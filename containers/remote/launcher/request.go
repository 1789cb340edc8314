package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
)

// Where things lie in the input root that a farm lays out (containers/remote/request.py), and what
// is left there.
const (
	requestFile = "tools/request"
	outputsDir  = "outputs"
	reportFile  = "report"

	requestSchema = 2
)

// Request says all of one action: `isolation.py` writes it.
type Request struct {
	Schema int `json:"schema"`
	// Trees in the order of their places, from 1 on: the root, input trees, private ones.
	Trees []Tree `json:"trees"`
	// Tools are this program, and bubblewrap with its libraries.
	Tools Tree `json:"tools"`
	// Copies are the private trees: number in Trees (from 0), place below the work directory.
	Copies []Copy `json:"copies"`
	// Directories below the work directory that are there from the beginning.
	Directories []string `json:"directories"`
	OrderSeed   uint64   `json:"order_seed"`
	// Epoch is every input's modification time, in seconds since 1970-01-01 UTC.
	Epoch       int64    `json:"epoch"`
	Domain      string   `json:"domain"`
	Umask       int      `json:"umask"`
	Personality uintptr  `json:"personality"`
	Stdin       string   `json:"stdin"`
	Options     []Option `json:"options"`
	// Filter holds BPF instructions for system calls.
	Filter  []byte   `json:"filter"`
	Command []string `json:"command"`
	Outputs []string `json:"outputs"`
	Limits  Limits   `json:"limits"`
	// CPUs is how many may be used, 0 for all.
	CPUs     int      `json:"cpus"`
	Expected Expected `json:"expected"`
	// Required are the rules without which the action is not run.
	Required []string `json:"required"`
}

// Tree is an input tree as the farm laid it out.
type Tree struct {
	At          string   `json:"at"`
	Files       int64    `json:"files"`
	Bytes       int64    `json:"bytes"`
	Executables []string `json:"executables"`
	// Folders that hold nothing: not every farm makes them.
	Folders []string `json:"folders"`
	// Digest of the whole, as `manifestDigest` gives it.
	Digest string `json:"digest"`
}

// Copy is a private tree.
type Copy struct {
	Tree int    `json:"tree"`
	At   string `json:"at"`
}

// Limits are those of the policy, in bytes, seconds, or numbers of things.
type Limits struct {
	Memory    int64 `json:"memory"`
	Tmp       int64 `json:"tmp"`
	Work      int64 `json:"work"`
	Files     int64 `json:"files"`
	Processes int64 `json:"processes"`
	CPUs      int   `json:"cpus"`
	Seconds   int64 `json:"seconds"`
	Log       int64 `json:"log"`
}

// Expected is what the probe has to find inside.
type Expected struct {
	Work        string   `json:"work"`
	Directory   string   `json:"directory"`
	Host        string   `json:"host"`
	User        int      `json:"user"`
	Group       int      `json:"group"`
	Environment []string `json:"environment"`
	// Inputs are the places of the read-only input trees.
	Inputs []string `json:"inputs"`
}

// Option is one of bubblewrap's words, or what only the worker knows: a place (0 is the work
// directory, -1 the folder for /tmp, else a tree) and a path below it, the descriptor that
// bubblewrap tells its progress on, or a path of /proc to cover where there is such a thing.
type Option struct {
	Text   string
	Place  *int   `json:"place"`
	Below  string `json:"below"`
	Status bool   `json:"status"`
	Cover  string `json:"cover"`
}

// UnmarshalJSON reads a text or an object.
func (o *Option) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &o.Text)
	}
	type plain Option
	return strictly(data, (*plain)(o))
}

func strictly(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func readRequest(file string) (*Request, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseRequest(data)
}

func parseRequest(data []byte) (*Request, error) {
	request := &Request{}
	if err := strictly(data, request); err != nil {
		return nil, err
	}
	if request.Schema != requestSchema {
		return nil, fmt.Errorf("the request has schema %d, expected %d", request.Schema, requestSchema)
	}
	if len(request.Command) == 0 || len(request.Trees) == 0 {
		return nil, errors.New("the request names no command, or no root")
	}
	for _, tree := range append([]Tree{request.Tools}, request.Trees...) {
		if !clean(tree.At) {
			return nil, fmt.Errorf("not a path below the input root: %q", tree.At)
		}
		for _, name := range append(append([]string{}, tree.Executables...), tree.Folders...) {
			if !clean(name) {
				return nil, fmt.Errorf("not a path in a tree: %q", name)
			}
		}
	}
	for _, one := range request.Copies {
		if one.Tree < 0 || one.Tree >= len(request.Trees) || (one.At != "" && !clean(one.At)) {
			return nil, fmt.Errorf("not a private tree: %d at %q", one.Tree, one.At)
		}
	}
	for _, name := range append(append([]string{}, request.Outputs...), request.Directories...) {
		if !clean(name) {
			return nil, fmt.Errorf("not a path below the work directory: %q", name)
		}
	}
	return request, nil
}

// clean tells whether a path is relative and stays below where it starts.
func clean(name string) bool {
	return name != "" && name != "." && name != ".." && path.Clean(name) == name &&
		name[0] != '/' && (len(name) < 3 || name[:3] != "../")
}

// private tells whether a tree (from 0) is copied into the work directory.
func (r *Request) private(number int) bool {
	for _, one := range r.Copies {
		if one.Tree == number {
			return true
		}
	}
	return false
}
