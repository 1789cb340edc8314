// Hostile runs inside an action and attacks the rules of the policy in every way that its authors
// could think of. The tests of the engines are its only users; `attempts.py` says of each attempt
// what it is after and what has to come of it.
//
//	hostile names               the names of all attempts
//	hostile batch ORDER NAME... those attempts, each in a process of its own; a JSON line each
//	hostile one ORDER NAME      one attempt in this process
//
// ORDER is a JSON object that tells where on the machine there is something to reach.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"syscall"
	"time"
)

// What came of an attempt, as far as the program itself can see.
const (
	refused  = "refused"
	possible = "possible"
	broken   = "broken"
)

// patience is how long an attempt of a batch may take.
const patience = 20 * time.Second

type result struct {
	Attempt string `json:"attempt"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail"`
	// Milliseconds is how long it took, for whoever wonders where the time of a batch goes.
	Milliseconds int64 `json:"milliseconds"`
}

type attempt func() result

// order tells what there is to reach on the machine.
var order struct {
	Port     int    // of TCP and UDP listeners on 127.0.0.1 and ::1
	Abstract string // name of a listening abstract socket
	Socket   string // path of a listening socket
	Secret   string // path of a file
	Process  int    // process id
	Key      string // description of a key in the session and user keyrings
	Queue    int    // System V key of a shared memory segment, a semaphore set, a message queue
	Token    string // for what the attempt leaves
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	switch {
	case os.Args[1] == "names":
		for _, name := range names(attempts()) {
			fmt.Println(name)
		}
	case os.Args[1] == "batch" && len(os.Args) > 3:
		batch(os.Args[2], os.Args[3:])
	case os.Args[1] == "one" && len(os.Args) == 4:
		one(os.Args[2], os.Args[3])
	default:
		usage()
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: hostile names | batch ORDER NAME... | one ORDER NAME")
	os.Exit(64)
}

func attempts() map[string]attempt {
	all := map[string]attempt{}
	for _, theme := range []map[string]attempt{
		networkAttempts, familyAttempts, fileAttempts, inputAttempts, mountAttempts, procAttempts,
		deviceAttempts, privilegeAttempts, namespaceAttempts, processAttempts, keyAttempts,
		kernelAttempts, leavingAttempts, machineAttempts, shareAttempts, identityAttempts, terminalAttempts,
		quotaAttempts, memoryAttempts, diskAttempts, endingAttempts, outputAttempts,
	} {
		for name, try := range theme {
			if all[name] != nil {
				panic("two attempts are called " + name)
			}
			all[name] = try
		}
	}
	return all
}

func names(all map[string]attempt) []string {
	found := []string{}
	for name := range all {
		found = append(found, name)
	}
	sort.Strings(found)
	return found
}

// batch runs each attempt in a process of its own, so that none spoils another's surroundings.
func batch(text string, wanted []string) {
	for _, name := range wanted {
		began := time.Now()
		ending, cancel := context.WithTimeout(context.Background(), patience)
		child := exec.CommandContext(ending, os.Args[0], "one", text, name)
		child.Dir = "/work"
		said := &bytes.Buffer{}
		child.Stdout, child.Stderr = said, said
		child.WaitDelay = time.Second
		err := child.Run()
		cancel()
		var told result
		if json.Unmarshal(said.Bytes(), &told) != nil || told.Attempt != name {
			told = result{Attempt: name, Outcome: broken, Detail: fmt.Sprint(err, ": ", said.String())}
			state, isExit := err.(*exec.ExitError)
			if isExit && state.Sys().(syscall.WaitStatus).Signal() == syscall.SIGSYS {
				told = result{Attempt: name, Outcome: refused, Detail: "killed by a filter"}
			}
		}
		told.Milliseconds = time.Since(began).Milliseconds()
		told.print()
	}
}

func one(text string, name string) {
	runtime.LockOSThread()
	check(json.Unmarshal([]byte(text), &order))
	try := attempts()[name]
	if try == nil {
		check(fmt.Errorf("no attempt is called %s", name))
	}
	found := try()
	found.Attempt = name
	found.print()
}

func (found result) print() {
	line, err := json.Marshal(found)
	check(err)
	_, err = os.Stdout.Write(append(line, '\n'))
	check(err)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}
