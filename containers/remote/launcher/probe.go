package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// ProbeOrder is what the probe compares what it finds with.
type ProbeOrder struct {
	Facts    Facts    `json:"facts"`
	Expected Expected `json:"expected"`
	Limits   Limits   `json:"limits"`
	Domain   string   `json:"domain"`
	Umask    int      `json:"umask"`
	// Sampled says that the stage sees the action's processes.
	Sampled bool `json:"sampled"`
}

// userRule is the one of which the stage knows more.
const userRule = "unprivileged-user"

// probe is the last program: it looks at each rule from where the action will be, and becomes the
// action where all that must hold does.
func probe(command []string) int {
	order := &ProbeOrder{}
	file := os.NewFile(probeOrderFile, "order")
	err := json.NewDecoder(file).Decode(order)
	file.Close()
	if err != nil {
		fmt.Fprintf(os.Stderr, "launcher: %s\n", err)
		return refusedStatus
	}
	findings := newInside(order).findings()
	said, err := json.Marshal(findings)
	if err == nil {
		_, err = syscall.Write(findingsFile, said)
	}
	// Who judges sees more than there is to see here.
	answer := make([]byte, 8)
	if err == nil {
		var count int
		count, err = syscall.Read(findingsFile, answer)
		if err == nil && string(answer[:count]) != "go" {
			return refusedStatus // Why is told outside.
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "launcher: %s\n", err)
		return refusedStatus
	}
	closeOnExec()
	err = syscall.Exec(command[0], command, os.Environ())
	syscall.Write(findingsFile, []byte(fmt.Sprintf("%s: %s", command[0], err)))
	return refusedStatus
}

// closeOnExec keeps every descriptor but the standard ones from the action.
func closeOnExec() {
	names, _ := os.ReadDir("/proc/self/fd")
	for _, name := range names {
		if number, err := strconv.Atoi(name.Name()); err == nil && number > 2 {
			syscall.CloseOnExec(number)
		}
	}
}

// inside is what there is to see inside.
type inside struct {
	*ProbeOrder
	status map[string]string
	mounts []mounted
	table  string
	// written are the places where a file could be made, of those where none should be.
	written map[string]bool
	// open are the mounts that are not read-only.
	open map[string]bool
}

func newInside(order *ProbeOrder) *inside {
	i := &inside{ProbeOrder: order, status: readStatus("/proc/self/status")}
	data, _ := os.ReadFile("/proc/self/mountinfo")
	i.table = string(data)
	i.mounts = parseMounts(i.table)
	i.tryToWrite()
	return i
}

// findings looks at each rule of containers/policy.py.
func (i *inside) findings() []Finding {
	found := []Finding{}
	for _, one := range []struct {
		rule string
		look func() (bool, string)
	}{
		{"no-network", i.network},
		{"read-only-root", i.readOnlyRoot},
		{"read-only-inputs", i.readOnlyInputs},
		{"one-writable-output", i.oneWritable},
		{"bounded-tmp", i.boundedTmp},
		{"bounded-work", i.boundedWork},
		{userRule, i.user},
		{"no-capabilities", i.capabilities},
		{"no-new-privileges", i.privileges},
		{"processes", i.processes},
		{"memory", i.memory},
		{"cpus", i.cpus},
		{"time", i.time},
		{"fixed-identity", i.identity},
		{"own-namespaces", i.namespaces},
		{"no-machine-paths", i.paths},
		{"system-calls", i.systemCalls},
	} {
		holds, seen := one.look()
		state := notEnforced
		if holds {
			state = enforced
		}
		found = append(found, Finding{one.rule, state, seen})
	}
	return found
}
