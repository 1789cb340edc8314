//go:build arm64 || riscv64

package main

// Attempts on what only amd64 has: elsewhere there is nothing to attack.
var machineAttempts = func() map[string]attempt {
	all := map[string]attempt{}
	for _, name := range []string{
		"io-level", "io-ports", "local-table", "old-statistics", "old-library", "old-sysfs",
		"old-sysctl", "i386-call", "i386-unshare", "i386-socket", "i386-key", "x32-call",
		"x32-socket", "x32-trace",
	} {
		all["machine-"+name] = func() result { return no("not on this architecture") }
	}
	return all
}()
