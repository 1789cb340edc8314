package pid1

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"sourcery/userland/internal/device"
)

// Print writes to all consoles of the machine: who looks at the screen should not
// miss what is said on the serial line, which may be the only one that
// /dev/console stands for.
func Print(text string) {
	for _, c := range (&Init{}).findConsoles() {
		c.print(text)
	}
}

// Rescue is PID 1 of a machine that has no device to run: the emergency shell on
// each console, part of the program that this process is. When somebody leaves
// one, all are ended, and again is called, to become another program. Signals do
// what they do to init. Rescue does not return.
func Rescue(again func() error) {
	i := &Init{layout: device.Here(), self: "/proc/self/exe", reaper: newReaper()}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go i.reaper.run(children)
	power := notifyPower()
	go i.rescueAll(again)
	for s := range power {
		if a, found := powerActions[s]; found {
			i.shutDown(a)
		}
	}
}

// rescueAll runs an emergency shell on each console until one of them ends.
func (i *Init) rescueAll(again func() error) {
	var once sync.Once
	for _, c := range i.findConsoles() {
		go func() {
			_, err := i.session(c, []string{i.self, EmergencyFlag})
			i.check(c.path, err)
			if err != nil || i.stopping.Load() {
				return
			}
			once.Do(func() {
				i.end(killTime, syscall.SIGHUP, syscall.SIGKILL)
				i.check("starting again", again())
			})
		}()
	}
}
