// Buildcache is the build cache of the go command on the device, and records
// compile seeds when the image is built. The go command starts it where
// GOCACHEPROG says so, and talks to it over standard input and output.
//
// Usage:
//
//	buildcache [-seed DIR]... [-cache DIR | -record DIR] [-stats FILE] [-verbose]
//
// Gets are answered from the cache or the recording, then from the seeds in the
// order given, each object's SHA-256 checked first. Puts go to -cache, a
// directory that later runs find again, or to -record, which becomes a seed in
// the format of package seed. Without both, the cache is read-only.
//
// A recording comes into being when the go command closes its cache, which it
// does after building something. A command that builds nothing, like go list,
// records nothing.
//
// Exit status: 0, 1 after an error, 2 on bad usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"sourcery/userland/internal/buildcache"
	"sourcery/userland/internal/cacheprog"
)

func main() {
	options, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0) // parse has printed the usage
	}
	if err != nil {
		os.Exit(2) // and here the mistake too
	}
	if err := run(options); err != nil {
		warn("%v", err)
		os.Exit(1)
	}
}

func warn(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "buildcache: "+format+"\n", args...)
}

var errUsage = errors.New("bad usage")

// parse reads the command line. It has told the user what is wrong with it when
// it gives an error.
func parse(args []string) (buildcache.Options, error) {
	o := buildcache.Options{Warn: warn, Log: func(string, ...any) {}}
	flags := flag.NewFlagSet("buildcache", flag.ContinueOnError)
	flags.Func("seed", "answer from the seed in `DIR`; may be repeated", func(dir string) error {
		o.Seeds = append(o.Seeds, dir)
		return nil
	})
	flags.StringVar(&o.Cache, "cache", "", "put into the cache in `DIR`")
	flags.StringVar(&o.Record, "record", "", "put into the new seed in `DIR`")
	flags.StringVar(&o.Stats, "stats", "", "append a line of JSON with counts to `FILE`")
	verbose := flags.Bool("verbose", false, "report misses and damaged objects on standard error")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		warn("unexpected argument %q", flags.Arg(0))
		return o, errUsage
	}
	if o.Cache != "" && o.Record != "" {
		warn("puts can go to one place: give either -cache or -record")
		return o, errUsage
	}
	if *verbose {
		o.Log = warn
	}
	// The go command may look at the files from another directory.
	paths := []*string{&o.Cache, &o.Record, &o.Stats}
	for i := range o.Seeds {
		paths = append(paths, &o.Seeds[i])
	}
	for _, path := range paths {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			warn("%s: %v", *path, err)
			return o, err
		}
		*path = absolute
	}
	return o, nil
}

func run(o buildcache.Options) error {
	cache, err := buildcache.Open(o)
	if err != nil {
		return err
	}
	defer cache.Abandon()
	// To write to a go command that has gone must be an error, not the end: there
	// may be unfinished files to remove.
	signal.Ignore(syscall.SIGPIPE)
	go leave(cache)
	server := &cacheprog.Server{Handler: cache, Commands: cache.Commands(), Parallel: runtime.NumCPU()}
	err = server.Serve(os.Stdin, os.Stdout)
	if errors.Is(err, cacheprog.ErrGone) {
		o.Log("%v", err) // whoever has ended the go command knows
		return nil
	}
	return err
}

// leave waits for a signal to end. An interrupt is none: the terminal sends it
// to the go command too, which stops what it is doing and closes its cache.
func leave(cache *buildcache.Cache) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	for s := range signals {
		if s == syscall.SIGINT {
			continue
		}
		cache.Abandon()
		warn("ended by signal: %s", strings.ToLower(s.String()))
		os.Exit(1)
	}
}
