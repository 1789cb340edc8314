package mountinfo

import (
	"os"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	got := Parse(`22 1 254:0 / / ro,relatime shared:1 - vfat /dev/vda1 rw
24 22 0:21 / /proc rw,nosuid - proc proc rw
30 22 0:28 / /with\040space\134 rw - tmpfs tmpfs rw,size=10%
31 22 0:29 /sub /odd\9 rw master:1 shared:2 - ext4 /dev/sda1 rw

not a line
1 2 - x
`)
	want := []Mount{{"/", "vfat"}, {"/proc", "proc"}, {"/with space\\", "tmpfs"}, {`/odd\9`, "ext4"}}
	if !slices.Equal(got, want) {
		t.Errorf("Parse = %q, want %q", got, want)
	}
}

func TestHas(t *testing.T) {
	if _, err := os.Stat("/proc/self/mountinfo"); err != nil {
		t.Skip("needs /proc")
	}
	if !Has("/proc") || Has("/proc/self") || Has(t.TempDir()) {
		t.Errorf("/proc: %v, /proc/self: %v", Has("/proc"), Has("/proc/self"))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("22 1 254:0 / /a\\040b ro shared:1 - vfat x rw")
	f.Fuzz(func(_ *testing.T, text string) { Parse(text) })
}
