// Observe prints what an action sees around it, as one JSON object: the proof
// that varied surroundings really differ. Strings come from the sandbox itself;
// strconv.Quote's escapes are JSON's for the characters that occur here.
package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

func main() {
	host, err := os.Hostname()
	check(err)
	directory, err := os.Getwd()
	check(err)
	// (*os.File).Readdirnames keeps the order of the file system; os.ReadDir sorts.
	folder, err := os.Open(os.Args[1])
	check(err)
	names, err := folder.Readdirnames(-1)
	check(err)
	os.Stdout.WriteString("{" + strings.Join([]string{
		field("directory", strconv.Quote(directory)),
		field("host", strconv.Quote(host)),
		field("order", strconv.Quote(strings.Join(names, " "))),
		field("parallelism", strconv.Itoa(runtime.GOMAXPROCS(0))),
		field("user", strconv.Itoa(os.Getuid())),
		field("group", strconv.Itoa(os.Getgid())),
	}, ",") + "}\n")
}

func field(name, value string) string { return strconv.Quote(name) + ":" + value }

func check(err error) {
	if err != nil {
		os.Stderr.WriteString("observe: " + err.Error() + "\n")
		os.Exit(1)
	}
}
