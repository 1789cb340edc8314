package main

import (
	"encoding/json"
	"os"
)

const reportSchema = 1

// Report is what the launcher leaves beside the outputs; `isolation.py` reads it.
type Report struct {
	Schema int `json:"schema"`
	// Refused is empty, or one word for why the action was not run; Words says it for people.
	Refused string `json:"refused"`
	Words   string `json:"words"`
	// Status is the command's own; 128 + N when signal N ended it.
	Status int `json:"status"`
	// EndedBy is empty, or the limit that ended it.
	EndedBy string `json:"ended_by"`
	// Milliseconds are those from bubblewrap's start to the action's end.
	Milliseconds int64 `json:"milliseconds"`
	// PeakMemory is in bytes.
	PeakMemory int64 `json:"peak_memory"`
	CPUs       int   `json:"cpus"`
	// Unkept is an output that no tree can hold, and why; empty where all can be kept.
	Unkept Unkept    `json:"unkept"`
	Rules  []Finding `json:"rules"`
	Facts  Facts     `json:"worker"`
}

// Unkept is an output that cannot be kept.
type Unkept struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Finding is what one rule was found to be, from inside.
type Finding struct {
	Rule  string `json:"rule"`
	State string `json:"state"`
	Seen  string `json:"seen"`
}

// The two states of a rule.
const (
	enforced    = "enforced"
	notEnforced = "not enforced"
)

// Facts are what the worker is like before anything is isolated.
type Facts struct {
	Host    string `json:"host"`
	Kernel  string `json:"kernel"`
	Machine string `json:"machine"`
	User    int    `json:"user"`
	Group   int    `json:"group"`
	// UserMap is /proc/self/uid_map: which users of the machine this one's are.
	UserMap string `json:"user_map"`
	// Folder is the input root's place.
	Folder string `json:"folder"`
	// Namespaces by kind, as /proc/self/ns names them.
	Namespaces map[string]string `json:"namespaces"`
	// Settings of the kernel that decide about user namespaces; empty where there is none.
	Settings map[string]string `json:"settings"`
	// ActionUser is who the action is on the worker; the same as User for an ordinary one.
	ActionUser int `json:"action_user"`
	// Room is where inputs and the work directory were put: "memory" or "disk".
	Room string `json:"room"`
}

// refusal ends everything before the action is run.
type refusal struct {
	code, words string
}

func (r *refusal) Error() string { return r.code + ": " + r.words }

func refuse(code string, err error) *refusal { return &refusal{code, err.Error()} }

// writeReport puts the report in its place in one step.
func writeReport(report *Report) error {
	report.Schema = reportSchema
	if report.Rules == nil {
		report.Rules = []Finding{}
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	unfinished := reportFile + ".new"
	if err := os.WriteFile(unfinished, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(unfinished, reportFile)
}
