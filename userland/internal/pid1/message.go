package pid1

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// message is what a newcomer should know, and what the stick's owner has written
// into /etc/motd.
func (i *Init) message() string {
	text := greeting(i.layout.Arch, kernelRelease(), i.layout.Programs(), countFiles(i.layout.Programs()), runtime.NumCPU())
	if own, err := os.ReadFile("/etc/motd"); err == nil {
		text += "\n" + string(own)
	}
	return text
}

func greeting(arch, kernel, programs string, commands, processors int) string {
	return fmt.Sprintf(`
Sourcery: a system that is mostly source.
linux/%s, kernel %s, processors: %d

  There are %d commands in %s; nearly all are source code.
  Type one: at first it is compiled, which takes a moment; then it is in /bin.
  All source is in /src, the Go tree in /go; go build, go test and gofmt work.
  To change a command:  installcommand -edit NAME
  To end:               poweroff, or reboot
  The stick is never written to. What you make in /tmp is gone then.

`, arch, kernel, processors, commands, programs)
}

func kernelRelease() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(release))
}

// countFiles gives the number of files in a directory, 0 where there is none.
func countFiles(dir string) int {
	f, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return len(names)
}
