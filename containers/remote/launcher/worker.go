package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Settings of the kernel that decide whether an ordinary user may make user namespaces.
var settings = []string{
	"kernel.unprivileged_userns_clone",
	"user.max_user_namespaces",
	"kernel.apparmor_restrict_unprivileged_userns",
}

var namespaceKinds = []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}

// User ids for actions where the worker is root: those of containers/sandbox/request.py.
var spare = [][2]int{{0x70000000, 0x400000}, {61184, 4000}}

// work is the outermost program: it leaves a report in any case, and ends with the action's status.
func work() int {
	report := &Report{}
	report.Facts = lookAround()
	request, err := readRequest(requestFile)
	if err != nil {
		return refused(report, &refusal{"request", err.Error()})
	}
	report.Facts.ActionUser, err = actionUser(report.Facts)
	if err != nil {
		return refused(report, err)
	}
	said, err := startStage(request, report.Facts)
	os.RemoveAll(stagedFolder)
	if err != nil {
		return refused(report, err)
	}
	if said.Refused != "" {
		fmt.Fprintf(os.Stderr, "launcher: %s: %s\n", said.Refused, said.Words)
	}
	if err := writeReport(said); err != nil {
		fmt.Fprintf(os.Stderr, "launcher: cannot write the report: %s\n", err)
		return refusedStatus
	}
	if said.Refused != "" {
		return refusedStatus
	}
	return said.Status
}

// refused writes a report that says why the action was not run.
func refused(report *Report, err error) int {
	report.Refused, report.Words = "failed", err.Error()
	var known *refusal
	if errors.As(err, &known) {
		report.Refused, report.Words = known.code, known.words
	}
	fmt.Fprintf(os.Stderr, "launcher: %s: %s\n", report.Refused, report.Words)
	if err := writeReport(report); err != nil {
		fmt.Fprintf(os.Stderr, "launcher: cannot write the report: %s\n", err)
	}
	return refusedStatus
}

func lookAround() Facts {
	facts := Facts{
		User: os.Geteuid(), Group: os.Getegid(),
		Namespaces: map[string]string{}, Settings: map[string]string{},
	}
	facts.Host, _ = os.Hostname()
	var name syscall.Utsname
	if syscall.Uname(&name) == nil {
		facts.Kernel, facts.Machine = chars(name.Release[:]), chars(name.Machine[:])
	}
	facts.Folder, _ = filepath.Abs(".")
	mapped, _ := os.ReadFile("/proc/self/uid_map")
	facts.UserMap = strings.TrimSpace(string(mapped))
	for _, kind := range namespaceKinds {
		facts.Namespaces[kind], _ = os.Readlink("/proc/self/ns/" + kind)
	}
	for _, setting := range settings {
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(setting, ".", "/"))
		if err == nil {
			facts.Settings[setting] = strings.TrimSpace(string(value))
		}
	}
	return facts
}

// chars reads what C calls char, which is signed on some architectures only.
func chars[char int8 | uint8](found []char) string {
	told := []byte{}
	for _, one := range found {
		if one == 0 {
			break
		}
		told = append(told, byte(one))
	}
	return string(told)
}

// actionUser chooses who an action is on the worker: this user, or, for root, one that nobody has.
func actionUser(facts Facts) (int, error) {
	if facts.User != 0 {
		return facts.User, nil
	}
	status := readStatus("/proc/self/status")
	if lacking(capabilities(status, "CapEff")) {
		return 0, &refusal{"user-0", "actions are run as user 0, without the rights that it takes " +
			"to become another user, to map that one or to end what is its (capabilities " +
			status["CapEff"] + ")"}
	}
	for _, wanted := range spare {
		if covers(facts.UserMap, wanted[0], wanted[1]) {
			return wanted[0] + os.Getpid()%wanted[1], nil
		}
	}
	return 0, &refusal{"user-0", "actions are run as user 0 of a user namespace that has no other " +
		"user ids to give (" + strings.Join(strings.Fields(facts.UserMap), " ") + ")"}
}

// lacking tells whether root has not what it takes to run an action as somebody else, and to end it.
func lacking(held uint64) bool {
	needed := []int{capChown, capDacOverride, capKill, capSetgid, capSetuid, capSysAdmin}
	return slices.ContainsFunc(needed, func(one int) bool { return held&(1<<one) == 0 })
}

// covers tells whether a uid_map holds so many ids from the first on.
func covers(userMap string, first, count int) bool {
	for _, line := range strings.Split(userMap, "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		start, _ := strconv.Atoi(fields[0])
		size, _ := strconv.Atoi(fields[2])
		if start <= first && first+count <= start+size {
			return true
		}
	}
	return false
}

// startStage runs the second program in namespaces of its own and returns what it reports.
func startStage(request *Request, facts Facts) (*Report, error) {
	told, telling, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer told.Close()
	saying, said, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer saying.Close()
	command := exec.Command("/proc/self/exe", "stage")
	command.Args[0] = "launcher"
	command.Env = []string{}
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.ExtraFiles = []*os.File{told, said}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if request.Domain != "" {
		// bubblewrap has no option for it, and its own UTS namespace begins as a copy of this one.
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUTS
	}
	if facts.User != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = itself(facts.User)
		command.SysProcAttr.GidMappings = itself(facts.Group)
		// Else an execve would take them away from an ordinary user.
		command.SysProcAttr.AmbientCaps = []uintptr{
			capChown, capDacOverride, capDacReadSearch, capFowner, capSysPtrace, capSysAdmin,
		}
	}
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if err := command.Start(); err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err // It is this program's own, and needs no name.
		}
		return nil, refuse("user-namespaces", err)
	}
	said.Close()
	go func() {
		json.NewEncoder(telling).Encode(facts)
		telling.Close()
	}()
	go func() {
		<-ending
		command.Process.Kill()
	}()
	words, _ := io.ReadAll(saying)
	ended := command.Wait()
	report := &Report{}
	if err := strictly(words, report); err != nil {
		reason := "it ended by itself"
		if ended != nil {
			reason = ended.Error()
		}
		return nil, &refusal{"ended", "the launcher's second program gave no report: " + reason}
	}
	return report, nil
}

func itself(id int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
}

// readStatus reads a file such as /proc/self/status: names, and what follows the colon.
func readStatus(file string) map[string]string {
	found := map[string]string{}
	data, _ := os.ReadFile(file)
	for _, line := range strings.Split(string(data), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			found[name] = strings.TrimSpace(value)
		}
	}
	return found
}
