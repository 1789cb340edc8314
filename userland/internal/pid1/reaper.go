package pid1

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// A reaper starts processes and collects the status of every process that ends,
// including the orphans that PID 1 inherits. It is the only one in this program
// that waits for processes: package os/exec would lose its children to it.
type reaper struct {
	// mu is held from a start until the process is in waiting, so that the status
	// of one that ends at once finds who wants it.
	mu      sync.Mutex
	waiting map[int]chan<- syscall.WaitStatus
}

func newReaper() *reaper { return &reaper{waiting: make(map[int]chan<- syscall.WaitStatus)} }

// start runs a program; its status arrives on the channel when it ends.
func (r *reaper) start(path string, argv []string, attr *syscall.ProcAttr) (<-chan syscall.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return nil, &os.PathError{Op: "exec", Path: path, Err: err}
	}
	ended := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = ended
	return ended, nil
}

// run reaps at every SIGCHLD. One signal may stand for many children.
func (r *reaper) run(children <-chan os.Signal) {
	for range children {
		r.reap()
	}
}

// reap collects all children that have ended, and reports whether any are left.
func (r *reaper) reap() (left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil: // ECHILD
			return false
		case pid == 0:
			return true
		}
		if ended, found := r.waiting[pid]; found {
			delete(r.waiting, pid)
			ended <- status
		}
	}
}

// exitStatus gives the status that a POSIX shell would show for a process.
func exitStatus(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
