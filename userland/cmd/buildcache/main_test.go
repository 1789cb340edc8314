package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	o, err := parse([]string{"-seed", "/one", "-seed", "two", "-cache", "c", "-stats", "/s"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/one", filepath.Join(wd, "two")}; !slices.Equal(o.Seeds, want) {
		t.Errorf("seeds %q, want %q", o.Seeds, want)
	}
	if o.Cache != filepath.Join(wd, "c") || o.Record != "" || o.Stats != "/s" {
		t.Errorf("options %+v", o)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-cache", "/c", "-record", "/r"},
		{"-seed"},
		{"-unknown"},
		{"argument"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: accepted", args)
		}
	}
	if _, err := parse([]string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}
