package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// run is one action that is under way.
type run struct {
	*staging
	report *Report

	command        *exec.Cmd
	stdout, stderr *log
	logs           chan struct{}
	progress       chan []byte
	judged         chan error
	begun          chan struct{}
	watch          *watch
}

// start has bubblewrap started, with the probe as what it runs.
func (r *run) start() error {
	loader, err := loader(stagePlace + "/tools")
	if err != nil {
		return refuse("request", err)
	}
	options, err := resolve(r.request.Options, r.places)
	if err != nil {
		return refuse("request", err)
	}
	options = append(options, "--seccomp", strconv.Itoa(filterFile))
	// An action sees the words of its first process, so no folder of the worker is among them.
	hidden := bytes.Join([][]byte{[]byte(strings.Join(options, "\x00")), {}}, []byte{0})
	inner := append([]string{fmt.Sprintf("/proc/self/fd/%d", programFile), "probe"}, r.request.Command...)
	tools := stagePlace + "/tools"
	order := EnterOrder{
		Limits:      r.limits(),
		CPUs:        r.cpus(),
		Umask:       r.request.Umask,
		Personality: r.request.Personality,
		Arguments: append([]string{
			loader, "--library-path", tools + "/lib", tools + "/bwrap",
			"--args", strconv.Itoa(argumentsFile), "--",
		}, inner...),
	}
	r.report.CPUs = len(order.CPUs)
	if r.report.CPUs == 0 {
		r.report.CPUs = len(affinity())
	}
	r.watch = newWatch(r.staging)
	probing := ProbeOrder{
		Facts: *r.facts, Expected: r.request.Expected, Limits: r.request.Limits,
		Domain: r.request.Domain, Umask: r.request.Umask, Sampled: r.watch.process != 0,
	}
	files, err := r.files(order, hidden, probing)
	if err != nil {
		return refuse("failed", err)
	}
	progress, status, err := os.Pipe()
	if err != nil {
		return refuse("failed", err)
	}
	ours, theirs, err := attestedPair()
	if err != nil {
		return refuse("failed", err)
	}
	program, err := os.Open(tools + "/launcher")
	if err != nil {
		return refuse("inputs", err)
	}
	r.command = exec.Command(tools+"/launcher", "enter")
	r.command.Args[0] = "launcher"
	r.command.Env = []string{}
	r.command.Dir = "/"
	r.command.ExtraFiles = []*os.File{files[0], files[1], files[2], status, files[3], theirs, program}
	r.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if r.owner >= 0 {
		credential := &syscall.Credential{Uid: uint32(r.owner), Gid: uint32(r.owner)}
		r.command.SysProcAttr.Credential = credential
	}
	if err := r.connect(); err != nil {
		return refuse("failed", err)
	}
	if err := r.command.Start(); err != nil {
		return refuse("bubblewrap", err)
	}
	for _, file := range append(r.command.ExtraFiles, r.command.Stdin.(*os.File), r.command.Stdout.(*os.File), r.command.Stderr.(*os.File)) {
		file.Close()
	}
	r.progress = all(progress)
	r.judged, r.begun = make(chan error, 1), make(chan struct{})
	go func() { r.judged <- r.judge(ours) }()
	return nil
}

// loader finds the dynamic loader that came with bubblewrap: its name tells the architecture.
func loader(tools string) (string, error) {
	found, err := filepath.Glob(tools + "/lib/ld-linux*.so.*")
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d dynamic loaders came with bubblewrap, not one", len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// files puts what is read by those to come into files of the stage, opened.
func (r *run) files(order EnterOrder, arguments []byte, probing ProbeOrder) ([]*os.File, error) {
	entering, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	looking, err := json.Marshal(probing)
	if err != nil {
		return nil, err
	}
	opened := []*os.File{}
	for name, content := range map[int][]byte{0: entering, 1: arguments, 2: r.request.Filter, 3: looking} {
		if err := os.WriteFile(fmt.Sprintf("%s/file-%d", stagePlace, name), content, 0o444); err != nil {
			return nil, err
		}
	}
	for name := range 4 {
		file, err := os.Open(fmt.Sprintf("%s/file-%d", stagePlace, name))
		if err != nil {
			return nil, err
		}
		opened = append(opened, file)
	}
	return opened, nil
}

// connect gives the command its three standard streams.
func (r *run) connect() error {
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	if r.request.Stdin != "" {
		stdin.Close()
		reading, writing, err := os.Pipe()
		if err != nil {
			return err
		}
		if _, err := writing.WriteString(r.request.Stdin); err != nil {
			return err
		}
		writing.Close()
		stdin = reading
	}
	r.command.Stdin = stdin
	r.logs = make(chan struct{}, 2)
	r.stdout = &log{sink: os.Stdout, limit: r.request.Limits.Log}
	r.stderr = &log{sink: os.Stderr, limit: r.request.Limits.Log}
	for _, one := range []struct {
		log  *log
		into func(*os.File)
	}{
		{r.stdout, func(file *os.File) { r.command.Stdout = file }},
		{r.stderr, func(file *os.File) { r.command.Stderr = file }},
	} {
		reading, writing, err := os.Pipe()
		if err != nil {
			return err
		}
		one.into(writing)
		go func() {
			one.log.readAll(reading)
			one.log.close()
			r.logs <- struct{}{}
		}()
	}
	return nil
}

// all reads a pipe to its end.
func all(pipe *os.File) chan []byte {
	found := make(chan []byte, 1)
	go func() {
		var read bytes.Buffer
		read.ReadFrom(pipe)
		found <- read.Bytes()
	}()
	return found
}

// finish watches the action to its end, ends what is left of it, and fills in the report.
func (r *run) finish() error {
	ended := make(chan error, 1)
	go func() { ended <- r.command.Wait() }()
	var began time.Time
	r.report.EndedBy, began = r.watch.until(ended, r.command.Process, r.begun)
	if !began.IsZero() {
		r.report.Milliseconds = time.Since(began).Milliseconds()
	}
	// This is the first process of its namespace: whatever else runs there is the action's.
	syscall.Kill(-1, syscall.SIGKILL)
	<-r.logs
	<-r.logs
	progress, judged := <-r.progress, <-r.judged
	largest := reap()
	code := 0
	if state := r.command.ProcessState; state != nil {
		code = state.ExitCode()
		if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			code = 128 + int(status.Signal())
		}
	}
	r.report.PeakMemory = max(largest, r.watch.peak)
	var known *refusal
	if errors.As(judged, &known) && known.code == "bubblewrap" {
		otherwise := fmt.Sprintf("it ended with status %d before anything was run in it", code)
		if r.report.EndedBy != "" {
			otherwise = fmt.Sprintf("nothing was run in it after %d seconds", int(preparing.Seconds()))
			r.report.EndedBy = ""
		}
		known.words = r.words(otherwise)
	}
	if judged != nil {
		return judged
	}
	status, begun := told(progress)
	if status < 0 && (r.report.EndedBy != "" || (begun && code > 128)) {
		// Ended by us, or by the kernel for want of memory, and bubblewrap with it.
		status = code
	}
	if status < 0 {
		return &refusal{"bubblewrap", r.words(fmt.Sprintf("exit status %d", code))}
	}
	r.report.Status = status
	if status != 0 && r.report.EndedBy == "" {
		r.report.EndedBy = r.watch.filled
		// A program that is refused memory fails in its own words; that it was about memory is seen
		// from how near to the limit its largest process had come.
		limit := r.request.Limits.Memory
		margin := max(limit/8, min(128<<20, limit/2))
		if r.report.EndedBy == "" && largest > limit-margin {
			r.report.EndedBy = "memory"
		}
	}
	return nil
}

// reap waits for all processes that are left, which have been ended, and gives the memory in bytes
// that the largest of all held at its peak. bubblewrap does not wait for what it started.
func reap() int64 {
	for {
		_, err := syscall.Wait4(-1, nil, 0, nil)
		if err != nil && err != syscall.EINTR {
			break
		}
	}
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage)
	return int64(usage.Maxrss) * 1024
}

// judge hears what the probe found, adds what only the kernel can say of it, and lets it go on where
// all that must hold does.
func (r *run) judge(probe int) error {
	defer syscall.Close(probe)
	data, sender, err := hear(probe)
	if err != nil {
		return refuse("failed", err)
	}
	if len(data) == 0 {
		return &refusal{"bubblewrap", ""}
	}
	if err := strictly(data, &r.report.Rules); err != nil {
		return refuse("failed", err)
	}
	broken := []string{}
	states := map[string]string{}
	for number := range r.report.Rules {
		one := &r.report.Rules[number]
		if one.Rule == userRule {
			attest(one, sender, r.facts.ActionUser)
		}
		states[one.Rule] = one.State
		if one.State != enforced && slices.Contains(r.request.Required, one.Rule) {
			broken = append(broken, fmt.Sprintf("%s: %s", one.Rule, one.Seen))
		}
	}
	for _, rule := range r.request.Required {
		if states[rule] == "" {
			broken = append(broken, rule+": nobody looked at it")
		}
	}
	if len(broken) > 0 {
		return &refusal{"rules", strings.Join(broken, "; ")}
	}
	if _, err := syscall.Write(probe, []byte("go")); err != nil {
		return refuse("ended", err)
	}
	close(r.begun)
	// Nothing follows where it becomes the action.
	if words, _, err := hear(probe); err == nil && len(words) > 0 {
		return &refusal{"command", string(words)}
	}
	return nil
}

// attest adds who the probe is on the worker, as the kernel says of what it sent. Inside, that is not
// to be seen.
func attest(finding *Finding, sender *syscall.Ucred, wanted int) {
	switch {
	case sender == nil:
		finding.State, finding.Seen = notEnforced, "the kernel does not say who it is on the worker"
	case sender.Uid == 0 || int(sender.Uid) != wanted:
		finding.State = notEnforced
		finding.Seen = fmt.Sprintf("it is user %d on the worker", sender.Uid)
	default:
		finding.Seen += fmt.Sprintf(", and %d on the worker", sender.Uid)
	}
}

// words are the last that was said on standard error, which is all bubblewrap's where the action
// was not run.
func (r *run) words(otherwise string) string {
	said := strings.TrimSpace(strings.ToValidUTF8(string(r.stderr.tail), "?"))
	if said == "" {
		return otherwise
	}
	return said
}

// told reads what bubblewrap told of its progress (--json-status-fd): the command's exit status, or
// -1 where it was not run to its end, and whether there was a sandbox.
func told(progress []byte) (int, bool) {
	status, begun := -1, false
	for _, line := range bytes.Split(progress, []byte("\n")) {
		var found struct {
			Child *int `json:"child-pid"`
			Exit  *int `json:"exit-code"`
		}
		if json.Unmarshal(line, &found) != nil {
			continue
		}
		begun = begun || found.Child != nil
		if found.Exit != nil {
			status = *found.Exit
		}
	}
	return status, begun
}

// limits are the resource limits of the action's processes. RLIMIT_AS would be of no use: Go
// reserves more than it uses.
func (r *run) limits() map[string]uint64 {
	limits := r.request.Limits
	return map[string]uint64{
		"NPROC": uint64(limits.Processes), "DATA": uint64(limits.Memory),
		"FSIZE": uint64(limits.Work), "NOFILE": openFiles, "CORE": 0, "NICE": 0, "RTPRIO": 0,
	}
}

// cpus are those that the action is to keep to, none for all.
func (r *run) cpus() []int {
	available := affinity()
	if r.request.CPUs == 0 || r.request.CPUs >= len(available) {
		return nil
	}
	return available[:r.request.CPUs]
}
