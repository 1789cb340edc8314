package stick

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sourcery/userland/internal/kmodule"
)

// fileSystem are what mounting the stick needs, and no device asks for.
var fileSystem = []string{"vfat", "nls_cp437", "nls_iso8859-1", "nls_ascii", "nls_utf8"}

// lateDevices are drivers of what may be plugged into USB when the initramfs,
// and with it all modules, is gone.
var lateDevices = []string{"hid_generic", "usbhid", "usb_storage", "uas", "sd_mod"}

// hanging is how long a driver may take that is being loaded when all is ready.
const hanging = 5 * time.Second

// otherBuses are those whose devices have no drivers that matter here, but may
// be many.
var otherBuses = map[string]bool{"memory": true, "clocksource": true, "event_source": true, "workqueue": true, "cpu": true}

// A drivers loads the modules of the devices that there are, and of those that
// appear because of it, while others look for the stick.
type drivers struct {
	machine machine
	loader  *kmodule.Loader
	wake    chan struct{} // something has happened to a device
	all     atomic.Bool   // load everything, whether or not a device asks for it
	idle    atomic.Bool   // there is nothing to load now
	current atomic.Value  // string, path of the module that is being loaded

	mu   sync.Mutex      // held while the loader is used
	seen map[string]bool // buses' devices that have been dealt with
}

// noModule is current where nothing is being loaded.
const noModule = ".ko"

func newDrivers(m machine, loader *kmodule.Loader) *drivers {
	d := &drivers{
		machine: m, loader: loader, seen: make(map[string]bool),
		wake: make(chan struct{}, 1),
	}
	d.current.Store(noModule)
	insert := loader.Insert
	loader.Insert = func(path string) error {
		d.current.Store(path)
		defer d.current.Store(noModule)
		return insert(path)
	}
	return d
}

// serve loads drivers until stop is closed. Without a wake, it looks around now
// and then all the same: the kernel's messages can get lost.
func (d *drivers) serve(stop <-chan struct{}) {
	first := true
	for {
		d.mu.Lock()
		for d.pass() {
		}
		if first {
			d.load(fileSystem)
			first = false
		}
		if d.all.Load() {
			d.load(d.loader.Names())
		}
		d.mu.Unlock()
		d.idle.Store(true)
		select {
		case <-stop:
			return
		case <-d.wake:
		case <-time.After(time.Second / 4):
		}
		d.idle.Store(false)
	}
}

// poke leaves a message where there is none yet.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pass loads the drivers of all devices that are new, and reports whether there
// were any, since they may bring new devices.
func (d *drivers) pass() (more bool) {
	present := make(map[string]bool)
	buses, _ := os.ReadDir(filepath.Join(d.machine.sys, "bus"))
	for _, bus := range buses {
		if otherBuses[bus.Name()] {
			continue
		}
		folder := filepath.Join(d.machine.sys, "bus", bus.Name(), "devices")
		devices, _ := os.ReadDir(folder)
		for _, device := range devices {
			path := filepath.Join(folder, device.Name())
			present[path] = true
			if d.seen[path] {
				continue
			}
			more = true
			if modalias := readModalias(path); modalias != "" {
				d.loader.LoadFor(modalias)
			}
		}
	}
	d.seen = present // one that went and comes back is new
	return more
}

// readModalias gives the modalias of a device, "" where it has none. It is always
// in the file uevent; a file modalias is there on some buses only, not for cards.
func readModalias(device string) string {
	data, _ := os.ReadFile(filepath.Join(device, "uevent"))
	for line := range strings.Lines(string(data)) {
		if modalias, found := strings.CutPrefix(line, "MODALIAS="); found {
			return strings.TrimSpace(modalias)
		}
	}
	return ""
}

func (d *drivers) load(names []string) {
	for _, name := range names {
		d.loader.Load(name)
	}
}

// finish loads, after serve was told to stop, what must be there before the
// modules are gone, and says what was loaded and what was not. It does not wait
// for ever for a driver that hangs.
func (d *drivers) finish() string {
	const step = 5 * time.Millisecond
	for waited := time.Duration(0); !d.mu.TryLock(); waited += step {
		if waited >= hanging {
			return fmt.Sprintf("  module %s hangs\n", d.busy())
		}
		time.Sleep(step)
	}
	defer d.mu.Unlock()
	if _, err := os.Stat(filepath.Join(d.machine.sys, "bus/usb")); err == nil {
		d.load(lateDevices)
	}
	var text strings.Builder
	loaded := d.loader.Loaded()
	fmt.Fprintf(&text, "  %d of %d modules are loaded: %s\n", len(loaded), len(d.loader.Names()), strings.Join(loaded, " "))
	for _, err := range d.loader.Failures() {
		fmt.Fprintf(&text, "  %v\n", err)
	}
	return text.String()
}

// busy gives the name of the module that is being loaded, "" where there is none.
func (d *drivers) busy() string {
	return strings.TrimSuffix(filepath.Base(d.current.Load().(string)), ".ko")
}
