// Launcher is the first program of an action on a worker of somebody's farm. A farm isolates as it
// likes, mostly not at all; so this program, which travels with the action, copies the inputs into
// a place of their own, starts bubblewrap, which travels too, under the policy that the request
// states, and has a probe find out from inside what each rule of it came to. Where that is not what
// it must be, the action is not run.
//
// It is four programs in one, each starting the next:
//
//	launcher         in the farm's surroundings: looks around, writes the report
//	launcher stage   first process of namespaces of its own: mounts, copies, watches, takes outputs
//	launcher enter   sets limits and becomes bubblewrap
//	launcher probe   inside, as the action's user: looks at each rule and becomes the action
//
// The words between them are JSON, on descriptors that are inherited.
package main

import (
	"fmt"
	"os"
	"runtime"
)

// Exit status of an action that was not run, in words that the report has too.
const refusedStatus = 120

func main() {
	// Attributes of a process that a thread carries (the signal at its parent's end, keyring,
	// personality) are set and kept on the first one.
	runtime.LockOSThread()
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "":
		os.Exit(work())
	case "stage":
		os.Exit(stage())
	case "enter":
		os.Exit(enter())
	case "probe":
		os.Exit(probe(os.Args[2:]))
	}
	fmt.Fprintln(os.Stderr, "launcher: it takes no arguments")
	os.Exit(refusedStatus)
}
