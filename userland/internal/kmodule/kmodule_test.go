package kmodule

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	got := Parse([]byte("alias=pci:v*d*\x00\x00license=GPL\x00depends=scsi-mod,usbcore\x00softdep=pre: xhci-pci-renesas a post: b\x00softdep=pre: c\x00alias=usb:*\x00name=x"))
	want := Module{
		Depends: []string{"scsi_mod", "usbcore"},
		Before:  []string{"xhci_pci_renesas", "a", "c"},
		After:   []string{"b"},
		Aliases: []string{"pci:v*d*", "usb:*"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Parse([]byte("depends=\x00softdep=a b")); !reflect.DeepEqual(got, Module{}) {
		t.Errorf("nothing said: %+v", got)
	}
}

func TestMatch(t *testing.T) {
	const disk = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"
	for _, c := range []struct {
		pattern, modalias string
		want              bool
	}{
		{"pci:v*d*sv*sd*bc01sc06i01*", disk, true},
		{"pci:v00008086d00002922sv*sd*bc*sc*i*", disk, true},
		{"pci:v*d*sv*sd*bc01sc08i02*", disk, false},
		{"pci:v00008086", disk, false},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*ab*ab", "abaab", true},
		{"*ab*ab", "aab", false},
		{"usb:v0781p*d[0-9]*", "usb:v0781p5567d0126", true},
		{"usb:v0781p*d000[0-1]*", "usb:v0781p5567d0002x", false},
		{"usb:v0781p*d000[02-4]", "usb:v0781p5567d0003", true},
		{"x[!a-c]", "xd", true},
		{"x[!a-c]", "xb", false},
		{"x[]]", "x]", true},
		{"x[", "x[", true},
		{"x[a", "xa", false},
		{"platform:sdhci-acpi", "platform:sdhci_acpi", true},
		{"of:N*T*Cvirtio,mmio", "of:Nvirtio_mmioT(null)Cvirtio,mmio", true},
		{"of:N*T*Cvirtio,mmioC*", "of:Nvirtio_mmioT(null)Cvirtio,mmio", false},
	} {
		if got := Match(c.pattern, c.modalias); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.modalias, got)
		}
	}
}

// Patterns without a set mean what they mean to path.Match, which has another
// syntax for sets, and an "/".
func FuzzMatch(f *testing.F) {
	f.Add("pci:v*d?", "pci:v1d2")
	f.Add("a[0-9]*[", "a7[")
	f.Fuzz(func(t *testing.T, pattern, modalias string) {
		got := Match(pattern, modalias)
		if strings.ContainsAny(pattern+modalias, "[]\\/-_") || !isASCII(pattern+modalias) {
			return
		}
		if want, err := filepath.Match(pattern, modalias); err != nil || got != want {
			t.Errorf("Match(%q, %q) = %v", pattern, modalias, got)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// object gives an ELF object that has one section.
func object(name string, content []byte) []byte {
	names := "\x00" + name + "\x00.shstrtab\x00"
	header := elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7F, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_REL),
		Machine: uint16(elf.EM_RISCV),
		Version: uint32(elf.EV_CURRENT),
		Ehsize:  64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
	}
	header.Shoff = uint64(64 + len(content) + len(names))
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: uint64(len(content))},
		{Name: uint32(2 + len(name)), Type: uint32(elf.SHT_STRTAB), Off: 64 + uint64(len(content)), Size: uint64(len(names))},
	}
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, header)
	b.Write(content)
	b.WriteString(names)
	binary.Write(&b, binary.LittleEndian, sections)
	return b.Bytes()
}

// folder makes a directory of modules from their .modinfo.
func folder(t *testing.T, modules map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, modinfo := range modules {
		write(t, filepath.Join(dir, name+".ko"), object(".modinfo", []byte(modinfo)))
	}
	return dir
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// open opens a loader that notes what it inserts, in place of doing it; some
// modules give an error.
func open(t *testing.T, dir string, failures map[string]error) (*Loader, *[]string) {
	t.Helper()
	l, mistakes := Open(dir)
	if len(mistakes) != 0 {
		t.Fatal(mistakes)
	}
	var inserted []string
	l.Insert = func(path string) error {
		name := strings.TrimSuffix(filepath.Base(path), ".ko")
		inserted = append(inserted, name)
		return failures[name]
	}
	return l, &inserted
}

func TestLoadOrder(t *testing.T) {
	l, inserted := open(t, folder(t, map[string]string{
		"usb-storage": "depends=scsi_mod,usbcore\x00softdep=post: uas\x00",
		"uas":         "depends=usb-storage,scsi_mod,usbcore\x00",
		"usbcore":     "depends=usb-common\x00softdep=pre: firmware-of-the-kernel-itself\x00",
		"usb-common":  "depends=\x00",
		"scsi_mod":    "depends=scsi_common,builtin\x00",
		"scsi_common": "depends=scsi_mod\x00", // a circle must not be endless
	}), nil)
	l.Load("usb_storage")
	l.Load("usb-storage")
	l.Load("absent")
	want := []string{"scsi_common", "scsi_mod", "usb-common", "usbcore", "usb-storage", "uas"}
	if !slices.Equal(*inserted, want) {
		t.Errorf("inserted %q, want %q", *inserted, want)
	}
	if got := l.Loaded(); len(got) != 6 || got[4] != "usb_storage" {
		t.Errorf("Loaded = %q", got)
	}
}

func TestOnlyDriversOfADeviceAreLoaded(t *testing.T) {
	l, inserted := open(t, folder(t, map[string]string{
		"ahci":    "depends=libahci\x00alias=pci:v*d*sv*sd*bc01sc06i01*\x00",
		"libahci": "depends=\x00",
		"nvme":    "depends=\x00alias=pci:v*d*sv*sd*bc01sc08i02*\x00",
		"mmcblk":  "depends=\x00alias=mmc:block\x00",
	}), nil)
	l.LoadFor("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01")
	l.LoadFor("usb:nothing")
	l.LoadFor("")
	if want := []string{"libahci", "ahci"}; !slices.Equal(*inserted, want) {
		t.Errorf("inserted %q, want %q", *inserted, want)
	}
	l.LoadFor("mmc:block")
	if want := []string{"libahci", "ahci", "mmcblk"}; !slices.Equal(*inserted, want) {
		t.Errorf("inserted %q, want %q", *inserted, want)
	}
}

func TestFailuresAreNamed(t *testing.T) {
	l, inserted := open(t, folder(t, map[string]string{
		"a": "depends=b\x00", "b": "depends=\x00", "present": "depends=\x00", "nodevice": "depends=\x00",
	}), map[string]error{"b": syscall.ENOEXEC, "present": syscall.EEXIST, "nodevice": syscall.ENODEV})
	for _, name := range l.Names() {
		l.Load(name)
	}
	if want := []string{"b", "a", "nodevice", "present"}; !slices.Equal(*inserted, want) {
		t.Errorf("inserted %q, want %q", *inserted, want)
	}
	failed := l.Failures()
	if len(failed) != 1 || failed[0].Error() != "module b: exec format error" {
		t.Errorf("failures: %v", failed)
	}
	if want := []string{"a", "present"}; !slices.Equal(l.Loaded(), want) {
		t.Errorf("loaded: %q, want %q", l.Loaded(), want)
	}
}

func TestFilesThatAreNoModules(t *testing.T) {
	dir := folder(t, map[string]string{"good": "depends=\x00"})
	write(t, filepath.Join(dir, "text.ko"), []byte("not ELF"))
	write(t, filepath.Join(dir, "other.ko"), object(".data", nil))
	write(t, filepath.Join(dir, "order"), nil)
	l, mistakes := Open(dir)
	if len(mistakes) != 2 ||
		!strings.Contains(mistakes[0].Error(), "other.ko is no kernel module: it has no section .modinfo") ||
		!strings.Contains(mistakes[1].Error(), "text.ko is no kernel module") {
		t.Errorf("mistakes: %v", mistakes)
	}
	if got := l.Names(); !slices.Equal(got, []string{"good"}) {
		t.Errorf("Names = %q", got)
	}
	if _, mistakes := Open(filepath.Join(dir, "none")); len(mistakes) != 1 {
		t.Errorf("no directory: %v", mistakes)
	}
}

func TestObjectsThatAreCutOff(t *testing.T) {
	whole := object(".modinfo", []byte("depends=a\x00"))
	if got, err := modinfoOf(bytes.NewReader(whole)); err != nil || string(got) != "depends=a\x00" {
		t.Fatalf("whole: %q, %v", got, err)
	}
	for size := range len(whole) {
		if _, err := modinfoOf(bytes.NewReader(whole[:size])); err == nil {
			t.Errorf("%d bytes of it: no error", size)
		}
	}
}

// A section that package debug/elf finds is found, and the other way round.
func FuzzModinfoOf(f *testing.F) {
	f.Add(object(".modinfo", []byte("alias=x\x00")))
	f.Add(object(".data", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := modinfoOf(bytes.NewReader(data))
		if err != nil {
			return
		}
		parsed, err := elf.NewFile(bytes.NewReader(data))
		if err != nil || parsed.Section(".modinfo") == nil || parsed.Section(".modinfo").Type == elf.SHT_NOBITS {
			return // it is stricter in what does not matter here
		}
		if want, err := parsed.Section(".modinfo").Data(); err == nil && parsed.Section(".modinfo").Flags&elf.SHF_COMPRESSED == 0 && !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
