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

// Everything is staged below this folder, in a mount namespace of its own: bubblewrap itself needs
// it to exist, so it always does.
const (
	stagePlace = "/tmp"
	stageRoom  = 64 << 20
	openFiles  = 16384
)

// stage is the second program: the first process of its namespaces, so that nothing of the action
// is left when it ends.
func stage() int {
	facts := Facts{}
	told, saying := os.NewFile(3, "facts"), os.NewFile(4, "report")
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	if err := json.NewDecoder(told).Decode(&facts); err != nil {
		return refusedStatus
	}
	report := &Report{Facts: facts}
	if err := act(report); err != nil {
		report.Refused, report.Words = "failed", err.Error()
		var known *refusal
		if errors.As(err, &known) {
			report.Refused, report.Words = known.code, known.words
		}
	}
	if report.Rules == nil {
		report.Rules = []Finding{}
	}
	if json.NewEncoder(saying).Encode(report) != nil {
		return refusedStatus
	}
	return 0
}

// act stages the inputs, has the action run, and takes its outputs.
func act(report *Report) error {
	syscall.Umask(0o022)
	request, err := readRequest(requestFile)
	if err != nil {
		return refuse("request", err)
	}
	available := availableMemory("/proc", "/sys/fs/cgroup")
	report.Facts.Room, err = chooseRoom(request, available, freeOnDisk("."))
	if err != nil {
		return err
	}
	place := &staging{request: request, facts: &report.Facts, owner: -1}
	if place.root() {
		place.owner = report.Facts.ActionUser
	}
	// With this program's rights: an action may have closed its folders.
	defer os.RemoveAll(stagedFolder)
	if err := place.mount(); err != nil {
		return err
	}
	if err := place.fill(); err != nil {
		return err
	}
	ran := &run{staging: place, report: report}
	if err := ran.start(); err != nil {
		return err
	}
	if err := ran.finish(); err != nil {
		return err
	}
	if report.Status != 0 || report.EndedBy != "" {
		return nil
	}
	taking := &outputs{
		work: place.work, into: outputsDir,
		files: request.Limits.Files, size: request.Limits.Work,
	}
	err = taking.take(request.Outputs)
	var over *exceeded
	var refused *unkept
	switch {
	case errors.As(err, &over):
		report.EndedBy = over.limit
	case errors.As(err, &refused):
		report.Unkept = refused.Unkept
	case err != nil:
		return refuse("outputs", err)
	}
	return nil
}

// staging is where inputs and work directory lie.
type staging struct {
	request *Request
	facts   *Facts
	// owner of what the action may change, -1 for this process's.
	owner int
	// places by the numbers of options; work and tmp are two of them.
	places    map[int]string
	work, tmp string
}

func (s *staging) root() bool { return s.facts.User == 0 }

// mount makes the mounts that only this process and its children see.
func (s *staging) mount() error {
	if err := mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return refuse("mounts", err)
	}
	// bubblewrap looks up processes by the numbers that they have here, and mounts one too.
	flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC)
	if err := mount("proc", "/proc", "proc", flags, ""); err != nil {
		return refuse("proc", err)
	}
	if found, err := os.Stat(stagePlace); err != nil || !found.IsDir() {
		return &refusal{"mounts", "there is no folder " + stagePlace}
	}
	// What lies below the stage's place is still reached: the present folder stays what it is.
	disk := ""
	if s.facts.Room == onDisk {
		if err := os.MkdirAll(filepath.Join(stagedFolder, "inputs"), 0o755); err != nil {
			return refuse("room", err)
		}
		if err := os.MkdirAll(filepath.Join(stagedFolder, "work"), 0o755); err != nil {
			return refuse("room", err)
		}
		disk = stagedFolder
	}
	if err := mountTmpfs(stagePlace, stageRoom, 0, "0755", -1); err != nil {
		return refuse("mounts", err)
	}
	s.places = map[int]string{}
	s.work, s.tmp = stagePlace+"/work", stagePlace+"/tmp"
	inputs := stagePlace + "/inputs"
	limits := s.request.Limits
	if disk == "" || s.request.OrderSeed != 0 {
		// Of a disk's folders, nobody can say in which order their entries are told.
		if err := mountTmpfs(inputs, taken(s.request), 0, "0755", -1); err != nil {
			return refuse("mounts", err)
		}
	} else if err := bind(filepath.Join(disk, "inputs"), inputs); err != nil {
		return refuse("mounts", err)
	}
	if disk == "" {
		if err := mountTmpfs(s.work, limits.Work, limits.Files, "0755", s.owner); err != nil {
			return refuse("mounts", err)
		}
	} else {
		if err := bind(filepath.Join(disk, "work"), s.work); err != nil {
			return refuse("mounts", err)
		}
		if s.owner >= 0 {
			if err := os.Chown(s.work, s.owner, s.owner); err != nil {
				return refuse("mounts", err)
			}
		}
	}
	if err := mountTmpfs(s.tmp, limits.Tmp, limits.Files, "1777", s.owner); err != nil {
		return refuse("mounts", err)
	}
	s.places[0], s.places[-1] = s.work, s.tmp
	if s.request.Domain != "" {
		if err := syscall.Setdomainname([]byte(s.request.Domain)); err != nil {
			return refuse("mounts", os.NewSyscallError("setdomainname", err))
		}
	}
	return nil
}

// fill copies tools and inputs to their places.
func (s *staging) fill() error {
	if err := copyTools(toolsFolder, stagePlace+"/tools"); err != nil {
		return refuse("inputs", err)
	}
	for number, tree := range s.request.Trees {
		if s.request.private(number) {
			continue
		}
		target := fmt.Sprintf("%s/inputs/%d", stagePlace, number)
		copying := &copying{
			tree: tree, seed: s.request.OrderSeed, epoch: s.request.Epoch, owner: -1,
		}
		if err := staged(copying.copyTo(target)); err != nil {
			return err
		}
		s.places[number+1] = target
		if s.facts.Room == onDisk {
			if view, err := overlay(target, number); err == nil {
				s.places[number+1] = view
			}
		}
	}
	for _, one := range s.request.Copies {
		copying := &copying{
			tree: s.request.Trees[one.Tree], seed: s.request.OrderSeed, epoch: s.request.Epoch,
			writable: true, owner: s.owner,
		}
		target := filepath.Join(s.work, one.At)
		if err := s.makeFolders(filepath.Dir(target)); err != nil {
			return refuse("room", err)
		}
		if err := staged(copying.copyTo(target)); err != nil {
			return err
		}
		s.places[one.Tree+1] = target
	}
	for _, name := range s.request.Directories {
		if err := s.makeFolders(filepath.Join(s.work, name)); err != nil {
			return refuse("room", err)
		}
	}
	return nil
}

// makeFolders makes folders below the work directory, with those on the way.
func (s *staging) makeFolders(place string) error {
	if !strings.HasPrefix(place, s.work+"/") {
		return nil
	}
	if err := s.makeFolders(filepath.Dir(place)); err != nil {
		return err
	}
	if err := os.Mkdir(place, 0o755); err != nil {
		if os.IsExist(err) {
			return nil
		}
		return err
	}
	if s.owner >= 0 {
		return os.Lchown(place, s.owner, s.owner)
	}
	return nil
}

// staged says what kind of fault it is that a tree could not be copied.
func staged(err error) error {
	var known *refusal
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return refuse("room", err)
	}
	return refuse("inputs", err)
}

// copyTools copies programs and their libraries, all executable and readable for everybody.
func copyTools(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	found, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range found {
		place := filepath.Join(from, entry.Name())
		info, err := os.Stat(place)
		if err != nil {
			return err
		}
		if info.IsDir() {
			if err := copyTools(place, filepath.Join(to, entry.Name())); err != nil {
				return err
			}
			continue
		}
		data, err := os.ReadFile(place)
		if err != nil {
			return err
		}
		target := filepath.Join(to, entry.Name())
		if err := os.WriteFile(target, data, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(target, 0o555); err != nil {
			return err
		}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr, options string) error {
	err := syscall.Mount(source, target, kind, flags, options)
	if err == nil {
		return nil
	}
	if kind == "" {
		kind = source
	}
	return fmt.Errorf("mount %s on %s: %w", kind, target, err)
}

// mountTmpfs mounts one of so many bytes, and so many files where that is not 0.
func mountTmpfs(place string, size, files int64, mode string, owner int) error {
	if err := os.MkdirAll(place, 0o755); err != nil {
		return err
	}
	options := fmt.Sprintf("mode=%s,size=%d", mode, size)
	if files > 0 {
		// One more for the folder itself.
		options += fmt.Sprintf(",nr_inodes=%d", files+1)
	}
	if err := mount("tmpfs", place, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, options); err != nil {
		return err
	}
	if owner >= 0 {
		return os.Chown(place, owner, owner)
	}
	return nil
}

func bind(source, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	return mount(source, target, "", syscall.MS_BIND|syscall.MS_REC, "")
}

// overlay mounts a folder of the stage once more, as one that lies nowhere else: of a bind mount
// /proc/self/mountinfo tells where on its disk the folder lies.
func overlay(source string, number int) (string, error) {
	target, nothing := fmt.Sprintf("%s/views/%d", stagePlace, number), stagePlace+"/nothing"
	for _, folder := range []string{target, nothing} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
	}
	flags := uintptr(syscall.MS_RDONLY | syscall.MS_NOSUID | syscall.MS_NODEV)
	// One layer alone is refused where none can be written.
	return target, mount("overlay", target, "overlay", flags, "lowerdir="+source+":"+nothing)
}

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
