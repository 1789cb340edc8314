package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestALogIsCutAtItsLimitAndSaysSo(t *testing.T) {
	for _, one := range []struct {
		limit  int64
		length int
		wanted string
	}{
		{100, 100, strings.Repeat("x", 100)},
		{100, 0, ""},
		{40, 50, strings.Repeat("x", 17) + "\n[cut at 40 of 50 bytes]\n"[:23]},
		{5, 50, "\n[cut"},
	} {
		var sink bytes.Buffer
		l := &log{sink: &sink, limit: one.limit}
		l.readAll(strings.NewReader(strings.Repeat("x", one.length)))
		l.close()
		if int64(sink.Len()) > one.limit || (one.length <= int(one.limit) && sink.String() != one.wanted) {
			t.Errorf("%d of %d: %q", one.limit, one.length, sink.String())
		}
		if one.length > int(one.limit) && one.limit > 30 && !strings.HasSuffix(sink.String(), "\n[cut at 40 of 50 bytes]\n") {
			t.Errorf("no notice: %q", sink.String())
		}
	}
}

func TestALongLogIsTheSameWhateverItsPieces(t *testing.T) {
	whole := strings.Repeat("0123456789", 1000)
	for _, size := range []int{1, 7, 79, 80, 81, 4096} {
		var sink bytes.Buffer
		l := &log{sink: &sink, limit: 5000}
		for start := 0; start < len(whole); start += size {
			l.take([]byte(whole[start:min(start+size, len(whole))]))
		}
		l.close()
		notice := "\n[cut at 5000 of 10000 bytes]\n"
		if sink.String() != whole[:5000-len(notice)]+notice {
			t.Errorf("pieces of %d: %q", size, sink.String()[4900:])
		}
		if string(l.tail) != whole[len(whole)-tailRoom:] {
			t.Error("another tail")
		}
	}
}

func TestRoomIsInMemoryWhereThereIsEnoughElseOnTheDiskElseNone(t *testing.T) {
	request := &Request{Trees: []Tree{{Files: 1000, Bytes: 1 << 30}}, Limits: Limits{Memory: 4 << 30}}
	needed := taken(request)
	for _, one := range []struct {
		memory, disk int64
		wanted       string
	}{
		{needed + 4<<30, 0, inMemory}, {needed + 4<<30 - 1, needed, onDisk}, {8 << 30, 1 << 40, inMemory},
		{1 << 30, needed - 1, ""},
	} {
		found, err := chooseRoom(request, one.memory, one.disk)
		if found != one.wanted || (err != nil) != (one.wanted == "") {
			t.Errorf("%+v: %q, %v", one, found, err)
		}
	}
}

func TestMemoryIsWhatTheTightestControlGroupLeaves(t *testing.T) {
	proc, groups := t.TempDir(), t.TempDir()
	write := func(place, content string) {
		check(t, os.MkdirAll(filepath.Dir(place), 0o755))
		check(t, os.WriteFile(place, []byte(content), 0o644))
	}
	write(filepath.Join(proc, "meminfo"), "MemTotal: 9 kB\nMemAvailable:    8000 kB\n")
	if found := availableMemory(proc, groups); found != 8000*1024 {
		t.Error(found)
	}
	write(filepath.Join(proc, "self", "cgroup"), "0::/farm/worker\n")
	write(filepath.Join(groups, "farm", "memory.max"), "5000000\n")
	write(filepath.Join(groups, "farm", "memory.current"), "1000000\n")
	write(filepath.Join(groups, "farm", "memory.stat"), "anon 1\ninactive_file 500000\n")
	write(filepath.Join(groups, "farm", "worker", "memory.max"), "max\n")
	if found := availableMemory(proc, groups); found != 4_500_000 {
		t.Error(found)
	}
}

func TestRootOfANamespaceWithNobodyElseIsRefused(t *testing.T) {
	if user, err := actionUser(Facts{User: 1000}); user != 1000 || err != nil {
		t.Error(user, err)
	}
	_, err := actionUser(Facts{User: 0, UserMap: "         0       1000          1"})
	var known *refusal
	if !errors.As(err, &known) || known.code != "user-0" {
		t.Error(err)
	}
	if !covers("0 0 4294967295", 0x70000000, 0x400000) || covers("0 1000 65536", 0x70000000, 1) ||
		!covers("0 1000 1\n1 100000 65536", 61184, 4000) || covers("", 0, 1) {
		t.Error("which ids are mapped")
	}
}

func TestRootNeedsEachRightThatItTakesToEndAnActionToo(t *testing.T) {
	all := uint64(1<<41 - 1)
	for _, one := range []int{0, 1, 5, 6, 7, 21} { // include/uapi/linux/capability.h
		if !lacking(all &^ (1 << one)) {
			t.Errorf("capability %d is not asked for", one)
		}
	}
	// CAP_DAC_READ_SEARCH, and CAP_SYS_PTRACE.
	if lacking(all &^ (1<<2 | 1<<19)) {
		t.Error("it needs more than it takes")
	}
}

func TestMountsAndTheirEscapesAreRead(t *testing.T) {
	table := "36 35 98:0 /m /a\\040b ro,noatime master:1 - ext3 /dev/root rw\nnonsense\n" +
		"1 2 0:3 / /proc rw - proc proc rw\n"
	found := parseMounts(table)
	if len(found) != 2 || found[0] != (mounted{"/a b", "ext3"}) || found[1] != (mounted{"/proc", "proc"}) {
		t.Error(found)
	}
}

func TestTheKernelSaysWhoSentSomething(t *testing.T) {
	ours, theirs, err := attestedPair()
	check(t, err)
	defer syscall.Close(ours)
	command := exec.Command("/proc/self/exe", "-test.run=TestSayWhoItIs")
	command.Env = append(os.Environ(), "LAUNCHER_TEST_SAYS=1")
	command.ExtraFiles = []*os.File{theirs}
	check(t, command.Run())
	theirs.Close()
	data, sender, err := hear(ours)
	check(t, err)
	if string(data) != "hello" || sender == nil || int(sender.Uid) != os.Getuid() || int(sender.Pid) != command.Process.Pid {
		t.Errorf("%q from %+v", data, sender)
	}
	if data, _, _ := hear(ours); len(data) > 0 {
		t.Errorf("and %q", data)
	}
}

func TestSayWhoItIs(t *testing.T) {
	if os.Getenv("LAUNCHER_TEST_SAYS") == "" {
		t.Skip("another test runs it")
	}
	_, err := syscall.Write(3, []byte("hello"))
	check(t, err)
}

func TestARuleIsNotHeldWhereTheActionIsAnotherUserOnTheWorker(t *testing.T) {
	for _, one := range []struct {
		sender *syscall.Ucred
		state  string
	}{
		{&syscall.Ucred{Uid: 7}, enforced}, {&syscall.Ucred{Uid: 8}, notEnforced},
		{&syscall.Ucred{Uid: 0}, notEnforced}, {nil, notEnforced},
	} {
		found := Finding{userRule, enforced, "user 1 inside"}
		attest(&found, one.sender, 7)
		if found.State != one.state {
			t.Errorf("%+v: %+v", one.sender, found)
		}
	}
}

func TestCapabilitiesAreRead(t *testing.T) {
	if found := capabilities(map[string]string{"CapEff": "00000000a8200081"}, "CapEff"); found != 0xa8200081 {
		t.Errorf("%x", found)
	}
}
