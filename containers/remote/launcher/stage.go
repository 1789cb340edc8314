package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	// The request lies among the tools, and says what these are.
	tools := &copying{
		tree: s.request.Tools, epoch: s.request.Epoch, programs: true, owner: -1,
		besides: filepath.Base(requestFile),
	}
	if err := staged(tools.copyTo(stagePlace + "/tools")); err != nil {
		return err
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
