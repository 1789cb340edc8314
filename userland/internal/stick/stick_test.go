package stick

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sourcery/userland/internal/kmodule"
)

// A fakeMachine is a machine of files.
type fakeMachine struct {
	machine
	t *testing.T
}

func newMachine(t *testing.T) fakeMachine {
	dir := t.TempDir()
	f := fakeMachine{machine{sys: filepath.Join(dir, "sys"), dev: filepath.Join(dir, "dev")}, t}
	f.mkdir("sys/class/block")
	f.mkdir("sys/bus")
	f.mkdir("dev")
	return f
}

func (f fakeMachine) path(name string) string { return filepath.Join(filepath.Dir(f.sys), name) }

func (f fakeMachine) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f fakeMachine) mkdir(name string) {
	f.t.Helper()
	f.check(os.MkdirAll(f.path(name), 0o755))
}

func (f fakeMachine) write(name string, content []byte) {
	f.t.Helper()
	f.check(os.WriteFile(f.path(name), content, 0o644))
}

// plug adds a block device; without a sector it cannot be read.
func (f fakeMachine) plug(name, place string, sectors int, sector []byte) {
	f.t.Helper()
	f.mkdir("sys/devices/" + place)
	f.write("sys/devices/"+place+"/size", fmt.Appendln(nil, sectors))
	f.check(os.Symlink("../../devices/"+place, f.path("sys/class/block/"+name)))
	if sector != nil {
		f.write("dev/"+name, sector)
	}
}

// volume gives the first sector of a FAT32 volume.
func volume(id uint32) []byte {
	s := make([]byte, 512)
	copy(s[82:], "FAT32   ")
	binary.LittleEndian.PutUint32(s[67:], id)
	s[510], s[511] = 0x55, 0xAA
	return s
}

// search looks for 1A2B-3C4D once, or until there is one. What it says is in words.
func (f fakeMachine) search(limit time.Duration) (s *search, words *[]string) {
	words = new([]string)
	return &search{
		machine: f.machine, volume: "1A2B-3C4D", limit: limit,
		say:     func(format string, args ...any) { *words = append(*words, fmt.Sprintf(format, args...)) },
		loading: func() string { return "slow_driver" },
		idle:    func() bool { return true },
		loadAll: func() {},
	}, words
}

func names(found []blockDevice) string {
	var list []string
	for _, d := range found {
		list = append(list, d.name)
	}
	return strings.Join(list, " ")
}

func TestTheStickIsFoundByItsVolumeID(t *testing.T) {
	f := newMachine(t)
	f.plug("sda", "pci0/ata1/block/sda", 1<<21, make([]byte, 512))
	f.plug("sda1", "pci0/ata1/block/sda/sda1", 1<<20, volume(0x1A2B3C4E))
	f.plug("sdb", "pci0/usb1/block/sdb", 1<<21, make([]byte, 512))
	f.plug("sdb1", "pci0/usb1/block/sdb/sdb1", 1<<20, volume(0x1A2B3C4D))
	f.plug("sr0", "pci0/ata2/block/sr0", 0, nil)
	f.plug("loop0", "virtual/block/loop0", 1<<20, volume(0x1A2B3C4D)) // never a stick
	s, _ := f.search(time.Hour)
	found := s.run(nil)
	if names(found) != "sdb1" || !found[0].slow || found[0].size != 512<<20 {
		t.Errorf("found %+v", found)
	}
}

func TestOneThatComesLaterIsFound(t *testing.T) {
	f := newMachine(t)
	s, _ := f.search(time.Hour)
	wake := make(chan struct{})
	result := make(chan []blockDevice)
	go func() { result <- s.run(wake) }()
	wake <- struct{}{} // it has looked once
	f.plug("vda", "virtio0/block/vda", 1<<20, volume(0x1A2B3C4D))
	wake <- struct{}{}
	if found := <-result; names(found) != "vda" {
		t.Errorf("found %v", found)
	}
}

// On a slow machine a driver may take longer than the limit, and the next one is
// the one that matters.
func TestALimitPassesOnlyWhileNothingHappens(t *testing.T) {
	machine := newMachine(t)
	s, _ := machine.search(100 * time.Millisecond)
	begun := time.Now()
	plugged := false
	s.loading = func() string {
		passed := time.Since(begun)
		if passed > 400*time.Millisecond && !plugged {
			plugged = true
			machine.plug("vda1", "pci0", 2048, volume(0x1A2B3C4D))
		}
		return fmt.Sprint("driver", passed/(50*time.Millisecond))
	}
	if found := s.run(nil); names(found) != "vda1" {
		t.Errorf("found %q", names(found))
	}
	s, _ = machine.search(20 * time.Millisecond)
	s.volume = "0000-0000"
	s.loading = func() string { return fmt.Sprint(time.Now()) }
	if found := s.run(nil); len(found) > 0 { // but not for ever
		t.Errorf("found %q", names(found))
	}
}

func TestTwoMatchingVolumesAreBothNamed(t *testing.T) {
	f := newMachine(t)
	for _, name := range []string{"sdc1", "sda1"} {
		f.plug(name, "pci0/ata1/block/"+name, 1<<20, volume(0x1A2B3C4D))
	}
	s, _ := f.search(time.Hour)
	found := s.run(nil)
	if names(found) != "sda1 sdc1" {
		t.Fatalf("found %v", found)
	}
	want := `2 disks have the FAT32 volume 1A2B-3C4D: sda1 (512 MiB, FAT32 1A2B-3C4D), sdc1 (512 MiB, FAT32 1A2B-3C4D)
  Which one to start from is not to be guessed: unplug the others, and start again.
`
	if got := s.ambiguous(found); got != want {
		t.Errorf("got %q", got)
	}
}

// The driver has taken long since it brought the first disk, and is loaded just
// now: what it brought last is there, and nobody has looked since.
func TestADriverThatBringsItsSecondDiskLast(t *testing.T) {
	f := newMachine(t)
	f.plug("vda1", "pci0/virtio0/block/vda1", 1<<20, volume(0x1A2B3C4D))
	s, _ := f.search(time.Hour)
	begun, loaded := time.Now(), false
	s.idle = func() bool {
		if !loaded && time.Since(begun) > 3*quietFast {
			f.plug("vdb1", "pci0/virtio1/block/vdb1", 1<<20, volume(0x1A2B3C4D))
			loaded = true
		}
		return loaded
	}
	if found := s.run(nil); names(found) != "vda1 vdb1" {
		t.Errorf("found %q", names(found))
	}
}

func TestAMissingStickIsReportedWithWhatIsThere(t *testing.T) {
	f := newMachine(t)
	s, words := f.search(0)
	if found := s.run(nil); len(found) != 0 {
		t.Fatalf("found %v", found)
	}
	if got := s.missing(); !strings.HasPrefix(got, "the stick was not found: no disk has the FAT32 volume 1A2B-3C4D\n  there is no disk at all") {
		t.Errorf("no disk: %q", got)
	}
	s.progress(3 * time.Second)
	f.plug("nvme0n1", "nvme0/nvme0n1", 64<<21, append([]byte("\xEB\x58\x90NTFS    "), make([]byte, 512)...))
	f.plug("sda", "ata1/sda", 1<<21, nil)
	f.plug("sdb", "ata2/sdb", 0, nil)
	s.look(time.Now())
	for range 2 {
		s.note(<-s.read, time.Now())
	}
	want := `the stick was not found: no disk has the FAT32 volume 1A2B-3C4D
  nvme0n1          64 GiB  NTFS
  sda            1024 MiB  cannot be read: no such file or directory
  sdb               0 MiB  no medium
`
	if got := s.missing(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.progress(6 * time.Second)
	wantWords := []string{
		"looking for volume 1A2B-3C4D, 3 s: no disk; loading slow_driver",
		"looking for volume 1A2B-3C4D, 6 s: nvme0n1 (64 GiB, NTFS), sda (1024 MiB, cannot be read: no such file or directory), sdb (0 MiB, no medium); loading slow_driver",
	}
	if !slices.Equal(*words, wantWords) {
		t.Errorf("said %q", *words)
	}
}

func TestAFailedReadIsTriedAgain(t *testing.T) {
	f := newMachine(t)
	f.plug("sda", "ata1/sda", 1<<21, nil)
	s, _ := f.search(0)
	s.run(nil)
	s.note(<-s.read, time.Now())
	f.write("dev/sda", volume(0x1A2B3C4D))
	s.look(time.Now())
	if len(s.reading) != 0 {
		t.Error("read again at once")
	}
	s.look(time.Now().Add(2 * readAgain))
	s.note(<-s.read, time.Now())
	if names(s.found()) != "sda" {
		t.Errorf("known: %v", s.list())
	}
}

// A card reader's device stays, the medium in it does not.
func TestAnotherMediumIsReadAnew(t *testing.T) {
	f := newMachine(t)
	f.plug("sda", "usb1/sda", 1<<20, volume(1))
	s, _ := f.search(0)
	s.run(nil)
	s.note(<-s.read, time.Now())
	f.write("dev/sda", volume(0x1A2B3C4D))
	f.write("sys/devices/usb1/sda/size", []byte("2048\n"))
	s.look(time.Now())
	s.note(<-s.read, time.Now())
	if names(s.found()) != "sda" {
		t.Errorf("known: %v", s.list())
	}
}

func TestNobodyDecidesWhileDevicesMayStillCome(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		slow, idle, reading bool
		quiet               time.Duration
		want                bool
	}{
		{idle: true, quiet: quietFast, want: true},
		{idle: true, quiet: quietFast - 1},
		{idle: false, quiet: time.Hour},
		{idle: true, reading: true, quiet: time.Hour},
		{slow: true, idle: true, quiet: quietSlow - 1},
		{slow: true, idle: true, quiet: quietSlow, want: true},
	} {
		s := &search{changed: now.Add(-c.quiet), reading: map[string]bool{}}
		if c.reading {
			s.reading["sdb"] = true
		}
		if got := s.settled([]blockDevice{{slow: c.slow}}, c.idle, now); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A driver brings devices that want drivers themselves.
func TestDriversOfDevicesThatDriversBring(t *testing.T) {
	f := newMachine(t)
	f.addDevice("pci", "0000:00:04.0", "DRIVER=\nPCI_ID=1B36:000D\nMODALIAS=pci:xhci\n")
	f.addDevice("platform", "serial8250", "DRIVER=serial8250\n")
	modules := t.TempDir()
	loader, _ := kmodule.Open(modules)
	d := newDrivers(f.machine, loader)
	if !d.pass() {
		t.Error("nothing new at first")
	}
	if d.pass() {
		t.Error("something new when nothing has changed")
	}
	f.addDevice("usb", "1-1:1.0", "MODALIAS=usb:storage\n")
	if !d.pass() {
		t.Error("a new device was not seen")
	}
	f.check(os.RemoveAll(f.path("sys/bus/usb/devices/1-1:1.0")))
	d.pass()
	f.addDevice("usb", "1-1:1.0", "MODALIAS=usb:hid\n")
	if !d.pass() {
		t.Error("one that took the place of another was not seen")
	}
	for device, want := range map[string]string{"pci/devices/0000:00:04.0": "pci:xhci", "platform/devices/serial8250": "", "none": ""} {
		if got := readModalias(f.path("sys/bus/" + device)); got != want {
			t.Errorf("%s: %q, want %q", device, got, want)
		}
	}
}

func (f fakeMachine) addDevice(bus, name, uevent string) {
	f.t.Helper()
	f.mkdir("sys/bus/" + bus + "/devices/" + name)
	f.write("sys/bus/"+bus+"/devices/"+name+"/uevent", []byte(uevent))
}

func TestAStickWithoutThisArchitectureIsRefused(t *testing.T) {
	root := t.TempDir()
	for _, platform := range []string{"linux_s390x", "linux_mips"} {
		if err := os.Mkdir(filepath.Join(root, platform), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := checkStick(root)
	want := fmt.Sprintf("this stick has no /linux_%s/bin/init to start on linux/%[1]s (no such file or directory); it has: linux_mips linux_s390x", runtime.GOARCH)
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(root, program())
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := checkStick(root); err != nil {
		t.Error(err)
	}
}

// What is mounted in the initramfs is on another device, and stays.
func TestOnlyTheInitramfsItselfIsEmptied(t *testing.T) {
	f := newMachine(t)
	f.write("sys/bus/file", nil)
	f.check(os.Symlink("/", f.path("dev/link")))
	top := f.path("")
	var s syscall.Stat_t
	f.check(syscall.Lstat(top, &s))
	removeOn(s.Dev+1, top)
	if _, err := os.Stat(f.path("sys/bus/file")); err != nil {
		t.Error(err)
	}
	removeOn(s.Dev, top)
	if left, err := os.ReadDir(top); len(left) != 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}
