package stick

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Times of a search.
const (
	patience    = 30 * time.Second // USB controllers, hubs and sticks may need as long
	mostPatient = 10               // times that, where there is always something new
	lastResort  = 5 * time.Second  // when to load all the drivers
	reportEvery = 3 * time.Second
	lookEvery   = 50 * time.Millisecond
	readAgain   = time.Second // after an error
	// Without a new device for as long, a second volume would have shown itself.
	quietFast = 50 * time.Millisecond
	quietSlow = 500 * time.Millisecond // on USB, and for cards
)

// A search looks for a volume among the block devices as they come.
type search struct {
	machine machine
	volume  string
	limit   time.Duration
	say     func(format string, args ...any)
	// What is known of the drivers, without which there are no devices.
	loading func() string // name of the module that is being loaded
	idle    func() bool   // nothing is to be loaded
	loadAll func()        // from now on, load what no device has asked for too

	known   map[string]blockDevice // by name
	reading map[string]bool
	read    chan blockDevice
	retry   map[string]time.Time // when to read one again that could not be read
	changed time.Time            // when the last new device was seen
	module  string               // the one that was being loaded when it was last asked
	moved   time.Time            // when that was last another one, or nothing
}

// run gives the devices with the volume: one, as it should be, several, or none
// when nothing has happened for the limit: a slow machine may load drivers for as
// long. A message on wake makes it look again at once.
func (s *search) run(wake <-chan struct{}) []blockDevice {
	s.known = make(map[string]blockDevice)
	s.reading = make(map[string]bool)
	s.read = make(chan blockDevice)
	s.retry = make(map[string]time.Time)
	begun := time.Now()
	report := begun.Add(reportEvery)
	for all := false; ; {
		now := time.Now()
		// Asked before the look: what a driver found that was loaded until now is seen by it.
		idle := s.idle()
		s.look(now)
		found := s.found()
		if len(found) > 0 && s.settled(found, idle, now) || s.hopeless(begun, now) {
			return found
		}
		if now.Sub(begun) >= lastResort && !all {
			all = true
			s.loadAll()
		}
		if now.After(report) {
			report = now.Add(reportEvery)
			s.progress(now.Sub(begun))
		}
		select {
		case d := <-s.read:
			s.note(d, time.Now())
		case <-wake:
		case <-time.After(lookEvery):
		}
	}
}

// hopeless reports whether nothing has happened for the limit, or too much.
func (s *search) hopeless(begun, now time.Time) bool {
	if module := s.loading(); module != s.module {
		s.module, s.moved = module, now
	}
	last := begun
	for _, t := range []time.Time{s.changed, s.moved} {
		if t.After(last) {
			last = t
		}
	}
	return now.Sub(last) >= s.limit || now.Sub(begun) >= mostPatient*s.limit
}

// look finds the devices that are there now, and has the new ones read.
func (s *search) look(now time.Time) {
	present := make(map[string]blockDevice)
	for _, d := range s.machine.blockDevices() {
		old, found := s.known[d.name]
		if found && old.size == d.size {
			d = old
		} else {
			s.changed = now
		}
		present[d.name] = d
		when, failed := s.retry[d.name]
		unread := d.what == "" && (!failed || now.After(when))
		if d.size > 0 && unread && !s.reading[d.name] {
			s.reading[d.name] = true
			// A device that does not answer keeps a read waiting, not us.
			go func() { s.read <- s.machine.read(d) }()
		}
	}
	s.known = present
}

// note takes over what was read of a device, unless it has changed since.
func (s *search) note(d blockDevice, now time.Time) {
	delete(s.reading, d.name)
	if d.err != nil {
		s.retry[d.name] = now.Add(readAgain)
	}
	if old, found := s.known[d.name]; found && old.size == d.size {
		s.known[d.name] = d
	}
}

// list gives the devices that are there, sorted by name.
func (s *search) list() []blockDevice {
	var list []blockDevice
	for _, name := range slices.Sorted(maps.Keys(s.known)) {
		list = append(list, s.known[name])
	}
	return list
}

// found gives the devices with the volume.
func (s *search) found() []blockDevice {
	return slices.DeleteFunc(s.list(), func(d blockDevice) bool { return d.id != s.volume })
}

// settled reports whether no second volume is to be expected; idle says whether
// nothing was to be loaded when the devices were looked at.
func (s *search) settled(found []blockDevice, idle bool, now time.Time) bool {
	quiet := quietFast
	for _, d := range found {
		if d.slow {
			quiet = quietSlow
		}
	}
	return idle && len(s.reading) == 0 && now.Sub(s.changed) >= quiet
}

// progress tells whoever waits what was seen up to now.
func (s *search) progress(passed time.Duration) {
	seen := "no disk"
	if list := s.list(); len(list) > 0 {
		seen = join(list)
	}
	if module := s.loading(); module != "" {
		seen += "; loading " + module
	}
	s.say("looking for volume %s, %d s: %s", s.volume, int(passed.Seconds()), seen)
}

func join(list []blockDevice) string {
	var words []string
	for _, d := range list {
		words = append(words, d.String())
	}
	return strings.Join(words, ", ")
}

// missing says that there is no such volume, and what there is instead.
func (s *search) missing() string {
	var text strings.Builder
	fmt.Fprintf(&text, "the stick was not found: no disk has the FAT32 volume %s\n", s.volume)
	list := s.list()
	if len(list) == 0 {
		text.WriteString("  there is no disk at all: none is plugged in, or its controller needs another driver\n")
	}
	for _, d := range list {
		fmt.Fprintf(&text, "  %-12s %10s  %s\n", d.name, formatSize(d.size), d.content())
	}
	return text.String()
}

// ambiguous says that there are several such volumes.
func (s *search) ambiguous(found []blockDevice) string {
	return fmt.Sprintf("%d disks have the FAT32 volume %s: %s\n"+
		"  Which one to start from is not to be guessed: unplug the others, and start again.\n",
		len(found), s.volume, join(found))
}
