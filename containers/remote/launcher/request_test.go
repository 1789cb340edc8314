package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func valid() map[string]any {
	return map[string]any{
		"schema": 2, "command": []string{"/bin/true"}, "outputs": []string{"out"},
		"trees":       []map[string]any{{"at": "root", "files": 1, "executables": []string{"bin/true"}}},
		"tools":       map[string]any{"at": "tools"},
		"copies":      []map[string]any{{"tree": 0, "at": ""}},
		"directories": []string{"a/b"},
		"options":     []any{"--proc", "/proc", map[string]any{"place": 0, "below": "x"}, map[string]any{"status": true}},
	}
}

func TestARequestIsReadAsItIsWritten(t *testing.T) {
	data, err := json.Marshal(valid())
	check(t, err)
	request, err := parseRequest(data)
	check(t, err)
	words, err := resolve(request.Options, map[int]string{0: "/tmp/work"})
	check(t, err)
	if !slices.Equal(words, []string{"--proc", "/proc", "/tmp/work/x", "6"}) {
		t.Error(words)
	}
	if !request.private(0) || request.private(1) {
		t.Error("which trees are private")
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	for name, value := range map[string]any{
		"schema": 1, "command": []string{}, "tools": map[string]any{"at": ""}, "trees": []any{}, "outputs": []string{"../out"},
		"directories": []string{"/etc"}, "copies": []map[string]any{{"tree": 1}}, "unknown": 1,
		"options": []any{map[string]any{"else": 1}},
	} {
		wrong := valid()
		wrong[name] = value
		data, err := json.Marshal(wrong)
		check(t, err)
		if _, err := parseRequest(data); err == nil {
			t.Errorf("%s: %v was taken", name, value)
		}
	}
	for _, path := range []string{"", ".", "..", "/x", "a/../b", "a//b", "./a", "a/", "../a"} {
		if clean(path) {
			t.Errorf("%q is clean", path)
		}
	}
	if !clean("a/b") || !clean("..a") || !clean("a") {
		t.Error("a path is not clean")
	}
}

func TestAPlaceThatIsNotThereIsAnError(t *testing.T) {
	number := 3
	if _, err := resolve([]Option{{Place: &number}}, nil); err == nil {
		t.Error("it was resolved")
	}
}

func TestWhatTheKernelDoesNotHaveIsNotCovered(t *testing.T) {
	words, err := resolve([]Option{{Cover: "/proc/none"}, {Cover: "/proc/meminfo"}, {Cover: "/proc/self"}}, nil)
	check(t, err)
	said := strings.Join(words, " ")
	if said != "--ro-bind /dev/null /proc/meminfo --perms 0555 --tmpfs /proc/self --remount-ro /proc/self" {
		t.Error(said)
	}
}

func TestBubblewrapsProgressIsRead(t *testing.T) {
	for progress, wanted := range map[string]struct {
		status int
		begun  bool
	}{
		"":                         {-1, false},
		"{\"child-pid\": 7}\n":     {-1, true},
		"{\"child-pid\": 7}\n{\"e": {-1, true},
		"{\"child-pid\": 7}\n{ \"exit-code\": 3 }\n": {3, true},
	} {
		if status, begun := told([]byte(progress)); status != wanted.status || begun != wanted.begun {
			t.Errorf("%q: %d, %v", progress, status, begun)
		}
	}
}
